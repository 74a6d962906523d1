//! `cargo xtask schema`: the manifest's JSON schema, for editors.

use anyhow::{Context, Result, anyhow};
use runner::ui;
use runner::workspace::{self, root};
use std::path::Path;

/// Where the schema is committed: manifests name it in their first line.
pub const FILE: &str = "docs/system.schema.json";

/// Prints the schema, or writes it to `output`.
///
/// # Errors
/// If docs/manifest.md and the manifest reader disagree on the keys, or a file cannot be read or
/// written.
pub fn command(output: Option<&Path>) -> Result<()> {
    let text = text()?;
    match output {
        Some(path) => workspace::write(path, text.as_bytes()),
        None => {
            ui::say(text.trim_end());
            Ok(())
        }
    }
}

/// Returns the schema's text.
fn text() -> Result<String> {
    let reference = std::fs::read_to_string(root().join("docs/manifest.md"))
        .context("cannot read docs/manifest.md")?;
    let schema = manifest::schema::schema(&reference).map_err(|why| anyhow!(why))?;
    Ok(format!("{schema:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With BLESS=1 in the environment the file is written instead.
    #[test]
    fn the_committed_schema_is_the_generated_one() {
        let file = root().join(FILE);
        let text = text().expect("a schema");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, &text).expect("the folder can be written");
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(committed == text, "run `cargo xtask schema -o {FILE}`");
    }
}
