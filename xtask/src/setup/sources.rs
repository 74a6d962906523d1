//! apt's sources: finds whether a suite is among them, and derives a backports source from the one
//! for the release.
//!
//! The functions convert text only. The addresses, keys and options are those that the machine's
//! administrator configured.

/// A new file for `/etc/apt/sources.list.d`.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The end of its name: `sources` (deb822) or `list`.
    pub extension: &'static str,
    /// Its text.
    pub text: String,
}

/// Returns the suites that a source file names, except disabled ones. `deb822` says which of the
/// two formats it has.
pub fn suites(file: &str, deb822: bool) -> Vec<String> {
    if deb822 {
        let stanzas = stanzas(file);
        let words = stanzas.iter().flat_map(|stanza| field(stanza, "suites").unwrap_or_default());
        words.collect()
    } else {
        file.lines()
            .filter_map(|line| one_line(line).map(|words| words.suite.to_string()))
            .collect()
    }
}

/// Derives a source for the suite `release-backports` from the file's source for `release`, if it
/// has one.
pub fn backports(file: &str, deb822: bool, release: &str) -> Option<Source> {
    let suite = format!("{release}-backports");
    if deb822 {
        let stanzas = stanzas(file);
        let of_release = |stanza: &&Vec<(String, String)>| {
            let has = |key, word: &str| {
                field(stanza, key).is_some_and(|words| words.iter().any(|w| w == word))
            };
            has("suites", release) && has("types", "deb")
        };
        let stanza = stanzas.iter().find(of_release)?;
        let mut text = String::new();
        for (key, value) in stanza {
            let value = match key.to_ascii_lowercase().as_str() {
                "suites" => &suite,
                "types" => "deb",
                _ => value,
            };
            text.push_str(&format!("{key}: {value}\n"));
        }
        Some(Source { extension: "sources", text })
    } else {
        let mut lines = file.lines().filter_map(one_line);
        let words =
            lines.find(|words| words.suite == release && words.before.starts_with("deb "))?;
        let text = format!("{}{suite}{}\n", words.before, words.after);
        Some(Source { extension: "list", text })
    }
}

/// Splits deb822 stanzas into fields; a value keeps its continuation lines. Comments and stanzas
/// with `Enabled: no` are left out.
fn stanzas(file: &str) -> Vec<Vec<(String, String)>> {
    let mut stanzas = vec![Vec::<(String, String)>::new()];
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let Some(stanza) = stanzas.last_mut() else {
            break;
        };
        if line.trim().is_empty() {
            stanzas.push(Vec::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            stanza.push((key.to_string(), value.trim().to_string()));
        }
    }
    let off = |stanza: &Vec<_>| field(stanza, "enabled").is_some_and(|words| words == ["no"]);
    stanzas.retain(|stanza| !stanza.is_empty() && !off(stanza));
    stanzas
}

/// Returns a field's words; names of fields are case-insensitive.
fn field(stanza: &[(String, String)], name: &str) -> Option<Vec<String>> {
    let (_, value) = stanza.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value.split_whitespace().map(String::from).collect())
}

/// A line of the classic format, cut around its suite.
struct OneLine<'a> {
    before: &'a str,
    suite: &'a str,
    after: &'a str,
}

/// Cuts `deb [options] address suite components…`; none for another line.
fn one_line(line: &str) -> Option<OneLine<'_>> {
    let line = line.trim();
    let rest = line.strip_prefix("deb ").or_else(|| line.strip_prefix("deb-src "))?.trim_start();
    let rest = if rest.starts_with('[') { rest.split_once(']')?.1.trim_start() } else { rest };
    let (_, rest) = rest.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let suite = rest.split_whitespace().next()?;
    let at = line.len() - rest.len();
    Some(OneLine { before: &line[..at], suite, after: &line[at + suite.len()..] })
}
