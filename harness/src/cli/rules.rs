//! What the options mean together: which exclude each other, and which need another.

use super::Cli;

impl Cli {
    /// Why these options make no sense together, if they do not.
    pub(crate) fn refuse(&self) -> Option<String> {
        self.commands()
            .or_else(|| self.selection())
            .or_else(|| self.ordered())
            .or_else(|| self.losses())
            .or_else(|| self.sandbox_options())
    }

    /// At most one thing to do.
    fn commands(&self) -> Option<String> {
        let given: Vec<&str> = [
            ("--status", self.status),
            ("--history", self.history),
            ("--rollback", self.rollback),
            ("--resume", self.resume),
            ("--list", self.list),
            ("--explain", self.explain.is_some()),
            ("--cleanup", self.cleanup),
            ("--sandbox-serve", self.sandbox_serve.is_some()),
            ("--rbac", self.rbac && !self.rollback && !self.cleanup),
            ("--completions", self.completions.is_some()),
            ("--man", self.man),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
        if let [first, second, ..] = given[..] {
            return Some(format!("{first} and {second} exclude each other"));
        }
        let only = given.first().copied()?;
        if self.dry_run && !matches!(only, "--rollback" | "--resume") {
            return Some(format!("--dry-run and {only} exclude each other"));
        }
        if self.auto_fix && !matches!(only, "--resume" | "--rbac") {
            return Some(format!("--auto-fix and {only} exclude each other"));
        }
        None
    }

    fn selection(&self) -> Option<String> {
        if self.exact && self.filters.is_empty() && self.skip.is_empty() {
            return Some("--exact needs the id of a check, such as storage::node_ready".into());
        }
        let some = !self.phase.is_empty() || !self.filters.is_empty();
        if self.apply && !some {
            return Some(
                "--apply needs --phase or a filter: without them all phases run in order, with their actions"
                    .into(),
            );
        }
        if self.auto_fix && self.selects() && !self.apply && !self.dry_run {
            return Some(
                "--auto-fix changes things: add --apply, or --dry-run to see what it would do"
                    .into(),
            );
        }
        if self.wait && !self.selects() {
            return Some("--wait needs --phase or a filter: an ordered run waits anyway".into());
        }
        if (self.apply || self.wait) && self.list {
            return Some("--list asks and changes nothing: leave --apply and --wait out".into());
        }
        let whole = [
            ("--status", self.status),
            ("--history", self.history),
            ("--rollback", self.rollback),
            ("--explain", self.explain.is_some()),
            ("--cleanup", self.cleanup),
            ("--sandbox-serve", self.sandbox_serve.is_some()),
            ("--completions", self.completions.is_some()),
            ("--man", self.man),
        ];
        if self.account.is_some() && !self.rbac {
            return Some("--account is for --rbac, which prints its roles".into());
        }
        if self.selects()
            && let Some((name, _)) = whole.into_iter().find(|(_, given)| *given)
        {
            return Some(format!(
                "{name} is not for single checks: leave --phase, --skip and filters out"
            ));
        }
        None
    }

    /// What only an ordered run understands.
    fn ordered(&self) -> Option<String> {
        if self.resume && self.fresh {
            return Some(
                "--resume and --fresh exclude each other: one goes on, one starts over".into(),
            );
        }
        if self.resume && self.skip_validation {
            return Some(
                "--resume and --skip-validation exclude each other: a phase that is done is not asked again anyway"
                    .into(),
            );
        }
        let options = [
            ("--resume", self.resume),
            ("--fresh", self.fresh),
            ("--skip-validation", self.skip_validation),
        ];
        let (name, _) = options.into_iter().find(|(_, given)| *given)?;
        if self.selects() {
            return Some(format!(
                "{name} is for the run of all phases: leave --phase, --skip and filters out"
            ));
        }
        let other = [
            ("--list", self.list),
            ("--status", self.status),
            ("--history", self.history),
            ("--rollback", self.rollback),
            ("--explain", self.explain.is_some()),
            ("--cleanup", self.cleanup),
            ("--sandbox-serve", self.sandbox_serve.is_some()),
        ];
        let (task, _) = other.into_iter().find(|(_, given)| *given)?;
        Some(format!("{name} and {task} exclude each other"))
    }

    /// What only a rollback may lose.
    fn losses(&self) -> Option<String> {
        let given = [
            ("--delete-emptydir-data", self.delete_emptydir_data),
            ("--force", self.force),
            ("--lose-volume", !self.lose_volume.is_empty()),
        ];
        let (name, _) = given.into_iter().find(|(_, given)| *given)?;
        (!self.rollback).then(|| format!("{name} is for --rollback"))
    }

    fn sandbox_options(&self) -> Option<String> {
        let shape = [
            ("--sandbox-at", self.sandbox_at.is_some()),
            ("--sandbox-fault", !self.sandbox_fault.is_empty()),
            ("--sandbox-speed", self.sandbox_speed.is_some()),
        ];
        let given = shape
            .into_iter()
            .find_map(|(name, given)| given.then_some(name));
        let serves = self.sandbox_serve.is_some();
        match &self.sandbox {
            None if !serves => {
                if let Some(name) = given.or(self.sandbox_keep.then_some("--sandbox-keep")) {
                    return Some(format!("{name} needs --sandbox"));
                }
                return None;
            }
            Some(Some(dir)) => {
                if let Some(name) = given.or(self.sandbox_keep.then_some("--sandbox-keep")) {
                    let dir = dir.display();
                    return Some(format!(
                        "{name} is for a sandbox that this run starts; the one in {dir} is served by another process \
                         (faults: one name a line in {dir}/faults)"
                    ));
                }
            }
            Some(None) if self.resume => {
                return Some(
                    "--resume needs the cluster that the onboarding began in: serve one with --sandbox-serve DIR, \
                     and use --sandbox=DIR"
                        .into(),
                );
            }
            Some(None) | None => {}
        }
        if serves && self.sandbox.is_some() {
            return Some("--sandbox-serve and --sandbox exclude each other: use --sandbox=DIR in another terminal".into());
        }
        if serves && self.sandbox_keep {
            return Some(
                "--sandbox-serve serves until Ctrl-C anyway: leave --sandbox-keep out".into(),
            );
        }
        let real = [
            ("--kubeconfig", self.kubeconfig.is_some()),
            ("--context", self.context.is_some()),
            ("--repo", self.repo.is_some()),
        ];
        let (name, _) = real.into_iter().find(|(_, given)| *given)?;
        Some(format!(
            "{name} and --sandbox exclude each other: the sandbox has its own cluster and repository"
        ))
    }
}
