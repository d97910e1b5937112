//! Ctrl-C and SIGTERM: the first ends the run in order, the third ends the program.

use phases::Stopper;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{exit::Exit, term};

/// Listens from now on, as long as the runtime lives.
///
/// # Errors
/// The system does not let us listen.
pub(crate) fn listen(runtime: &Runtime, stopper: Stopper) -> std::io::Result<()> {
    let _entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    runtime.spawn(async move {
        for number in 1_u32.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match number {
                1 => {
                    term::err("\nending: what is being done now is finished and written down");
                    stopper.stop();
                }
                2 => term::err(
                    "\nit is ending; once more ends it at once, with the report as it stands",
                ),
                _ => std::process::exit(i32::from(Exit::Interrupted.code())),
            }
        }
    });
    Ok(())
}
