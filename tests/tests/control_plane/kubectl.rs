//! `kubectl` says the same of both servers: one script, run on each with the same objects.

mod known;
mod run;
mod script;
mod text;

use std::fmt::Write as _;

use libtest_mimic::Completion;
use tests::control_plane::assets;

use crate::{Outcome, block_on, differential::servers::Pair};
use run::Kubectl;

/// Fewer commands say little about a program with so many.
const FEWEST: usize = 40;

pub(crate) fn same_output() -> Outcome {
    let program = assets()?.join("kubectl");
    if !program.is_file() {
        return Ok(Completion::ignored_with(format!(
            "there is no {}",
            program.display()
        )));
    }
    let script = script::all();
    assert!(
        script.len() >= FEWEST,
        "the script has only {} commands",
        script.len()
    );
    block_on(async {
        let pair = Pair::start().await?;
        let [real, ours] = pair.kubeconfigs()?;
        let kubectl = Kubectl::new(&program, [&real, &ours], script::FILES)?;
        let mut known = known::Told::new();
        let mut unexplained = String::new();
        let mut count = 0;
        for step in &script {
            let [real, ours] = kubectl.run(step).await?;
            let mut lines = text::differences(&real, &ours);
            lines.retain(|line| !known.explains(step.line, line));
            if !lines.is_empty() {
                count += 1;
                writeln!(unexplained, "$ kubectl {}", step.line)?;
            }
            for line in lines {
                writeln!(unexplained, "  {line}")?;
            }
        }
        println!(
            "{} commands of kubectl on both servers: {} lines differ and are meant to",
            script.len(),
            known.count()
        );
        for unused in known.unused() {
            count += 1;
            writeln!(unexplained, "listed, and not found any more: {unused}")?;
        }
        if count > 0 {
            return Err(format!("{count} unexplained:\n{unexplained}").into());
        }
        Ok(Completion::Completed)
    })
}
