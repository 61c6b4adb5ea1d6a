//! `alluvium pause`, `alluvium resume` and `alluvium roll`

use clap::Args;

use crate::outside::cli::arguments::DaemonArgs;
use crate::outside::cli::exit::{EX_UNAVAILABLE, EX_USAGE};
use crate::outside::cli::output::{complain, say};
use crate::outside::daemon::COMMAND;

/// Arguments of `pause`, `resume` and `roll`.
#[derive(Args, Debug)]
pub(super) struct Pause {
    /// The mapping's name.
    mapping: String,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Pause {
    /// `verb`: `pause`, `resume` or `roll`.
    pub(super) fn main(&self, verb: &str) -> u8 {
        let daemon = match self.daemon.asked() {
            Ok(daemon) => daemon,
            Err(code) => return code,
        };
        let sent = daemon
            .agent
            .post(format!("{}/mappings/{}/{verb}", daemon.url, self.mapping))
            .header(COMMAND, verb)
            .config()
            .http_status_as_error(false)
            .build()
            .send_empty();
        let answered = sent.and_then(|mut answer| {
            let text = answer.body_mut().read_to_string()?;
            Ok((answer.status(), text))
        });
        match answered {
            Ok((status, text)) if status.is_success() => {
                say(text.trim_end());
                0
            }
            Ok((_, text)) => {
                complain(&text);
                EX_USAGE
            }
            Err(e) => {
                complain(&daemon.silent(&e));
                EX_UNAVAILABLE
            }
        }
    }
}
