// SPDX-License-Identifier: MIT OR Apache-2.0
//! The folder of a TFTP server from which a Raspberry Pi 4 boots, and the server's settings.
//!
//! The EEPROM's boot loader asks for each file below a prefix: with TFTP_PREFIX=0 the serial
//! number, with TFTP_PREFIX=1 the text of TFTP_PREFIX_STR. If the prefix has no start4.elf, it asks
//! without one.

use anyhow::{Result, ensure};

/// Checks the name of a board's folder, and returns it as the board asks for it. A serial number
/// has 8 hexadecimal digits, in lower case; some tools print 16, of which the last 8 count.
///
/// # Errors
/// If it is not a name for a folder.
pub fn prefix(name: &str) -> Result<String> {
    let is_hexadecimal = !name.is_empty() && name.chars().all(|c| c.is_ascii_hexdigit());
    if is_hexadecimal && matches!(name.len(), 8 | 16) {
        return Ok(name[name.len() - 8..].to_ascii_lowercase());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure!(
        !name.is_empty()
            && name.len() <= 31
            && name.chars().all(is_plain)
            && !name.starts_with('.'),
        "--prefix {name}: expected the serial number (8 hexadecimal digits), or the text of \
         TFTP_PREFIX_STR: letters, digits, `-`, `_`, `.`"
    );
    Ok(name.to_owned())
}

/// Returns the EEPROM's settings for a folder's name, or for files that every board gets.
pub fn eeprom(prefix: Option<&str>) -> String {
    let is_serial = |text: &&str| text.len() == 8 && text.chars().all(|c| c.is_ascii_hexdigit());
    let prefix = match prefix.filter(|prefix| !is_serial(prefix)) {
        None => "TFTP_PREFIX=0".to_owned(),
        // The boot loader joins text and file name as they are.
        Some(prefix) => format!("TFTP_PREFIX=1\nTFTP_PREFIX_STR={prefix}/"),
    };
    format!("[all]\nBOOT_UART=1\nBOOT_ORDER=0xf2\n{prefix}\n")
}

/// Returns settings for dnsmasq, with which it serves `folder` beside the network's DHCP server.
pub fn dnsmasq(folder: &str, network: &str) -> String {
    format!(
        "port=0\n\
         dhcp-range={network},proxy\n\
         log-dhcp\n\
         enable-tftp\n\
         tftp-root={folder}\n\
         pxe-service=0,\"Raspberry Pi Boot\"\n"
    )
}
