// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command that resets a board or switches its power: `--reset`.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// Runs the command that resets the board.
///
/// # Errors
/// If it fails.
pub fn reset(command: &str) -> Result<()> {
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", command]).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("--reset: cannot start `{command}`"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("--reset: `{command}` failed ({}): {words}", output.status);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_that_fails_says_why() {
        reset("true").expect("a command that does nothing");
        let why = reset("echo no relay >&2; exit 3").unwrap_err().to_string();
        assert!(why.contains("no relay") && why.contains('3'), "{why}");
    }
}
