//! Checks that a flattened device tree is well-formed (Devicetree Specification, chapter 5), so
//! that the library can read it safely, and that it has no byte outside what the library shows:
//! blocks follow each other, padding is zero, nothing is reserved.

/// Deepest tree that fits the library's fixed stacks, with some reserve.
const DEEPEST: usize = 16;
const HEADER: usize = 40;
/// Largest tree that Linux takes (Linux, Documentation/arch/arm64/booting.rst, 2).
const LARGEST: usize = 2 << 20;

/// Checks a whole tree.
///
/// # Errors
/// The first malformed part.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let word = |at: usize| -> Result<usize, String> {
        let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
        let word = word.ok_or("the device tree is cut short")?;
        Ok(u32::from_be_bytes(*word) as usize)
    };
    let mut header = [0; 10];
    for (n, word_of) in header.iter_mut().enumerate() {
        *word_of = word(4 * n)?;
    }
    let [magic, total, structure, strings, reserved, version, compatible, boot, text_size, size] =
        header;
    if magic != 0xd00d_feed || (version, compatible, boot) != (17, 16, 0) {
        return Err(format!(
            "its header has magic number {magic:#x}, version {version}, compatible with \
             {compatible}, boot CPU {boot}; must be 0xd00dfeed, 17, 16, 0"
        ));
    }
    if total != bytes.len() {
        return Err(format!("its header says {total} bytes, {} are loaded", bytes.len()));
    }
    if total > LARGEST {
        return Err(format!("it has {total} bytes, Linux maps the first {LARGEST}"));
    }
    // Header, an empty list of reservations, structure, strings; each starts at the end of the one
    // before, aligned.
    let blocks = [(HEADER, 0, 1), (reserved, 16, 8), (structure, size, 4), (strings, text_size, 1)];
    let mut end = 0;
    for (start, size, align) in blocks {
        let gap = bytes.get(end.min(start)..start);
        let known = start >= end && start % align == 0 && start - end < 8.max(HEADER + 1);
        let next = start.checked_add(size).filter(|&next| next <= total);
        match (gap, next) {
            (Some(gap), Some(next)) if known && (end == 0 || gap.iter().all(|&b| b == 0)) => {
                end = next
            }
            _ => return Err(format!("its block at {start:#x} is not at its place")),
        }
    }
    if bytes[end..].iter().any(|&byte| byte != 0) || bytes[reserved..reserved + 16] != [0; 16] {
        return Err("bytes outside its blocks are not zero, or it reserves memory".into());
    }
    structure_block(&bytes[structure..structure + size], &bytes[strings..strings + text_size])
}

/// Checks the tokens: nodes nest, properties come before children, names end, padding is zero,
/// every string is a property's name.
fn structure_block(mut rest: &[u8], strings: &[u8]) -> Result<(), String> {
    let mut unnamed = vec![true; strings.len()];
    let mut depth = 0;
    // Whether the innermost node still takes properties.
    let mut open = false;
    loop {
        match take_word(&mut rest)? {
            1 if depth < DEEPEST && (depth > 0 || !open) => {
                let length = name(rest)?;
                if (length == 0) != (depth == 0) {
                    return Err("only the root has no name".into());
                }
                take(&mut rest, length + 1)?;
                (depth, open) = (depth + 1, true);
            }
            2 if depth > 0 => (depth, open) = (depth - 1, false),
            3 if open => {
                let (length, at) = (take_word(&mut rest)?, take_word(&mut rest)?);
                let at = at as usize;
                let string = strings.get(at..).ok_or("a property without a name")?;
                let letters = name(string)?;
                if letters == 0 {
                    return Err("a property without a name".into());
                }
                unnamed[at..=at + letters].fill(false);
                take(&mut rest, length as usize)?;
            }
            9 if depth == 0 && rest.is_empty() => return Ok(()),
            token => return Err(format!("token {token} is not valid at this place")),
        }
        if depth == 0 {
            // The root has ended: only the end token may follow.
            return match (take_word(&mut rest)?, rest.is_empty()) {
                (9, true) if unnamed.contains(&true) => {
                    Err("a string that does not name a property".into())
                }
                (9, true) => Ok(()),
                _ => Err("tokens follow the root".into()),
            };
        }
    }
}

fn take_word(rest: &mut &[u8]) -> Result<u32, String> {
    let (word, tail) = rest.split_first_chunk().ok_or("the device tree is cut short")?;
    *rest = tail;
    Ok(u32::from_be_bytes(*word))
}

/// Takes bytes and their padding to a word.
fn take(rest: &mut &[u8], length: usize) -> Result<(), String> {
    let padded = length.checked_next_multiple_of(4).filter(|&padded| padded <= rest.len());
    let (all, tail) = rest.split_at(padded.ok_or("the device tree is cut short")?);
    *rest = tail;
    match all[length..].iter().all(|&byte| byte == 0) {
        true => Ok(()),
        false => Err("padding that is not zero".into()),
    }
}

/// Returns the length of a printable name that ends.
fn name(bytes: &[u8]) -> Result<usize, String> {
    let length = bytes.iter().position(|&byte| byte == 0).ok_or("a name without an end")?;
    match bytes[..length].iter().all(u8::is_ascii_graphic) {
        true => Ok(length),
        false => Err("a name with characters that are not printable".into()),
    }
}
