//! The way further out than this machine, only when the operator asks for it
//! (`elastane up --internet`): forwarding in the host's own network
//! namespace, and an nftables table of our own there that lets instances out
//! under the host's address, and neither onto the host nor the world in.

use super::edge::HOST_ADDRESS;
use super::nft;
use crate::layout::write_private;
use std::fs;
use std::path::Path;

/// The host's switch for forwarding.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// The table's rules for the cable of this name.
fn rules(link: &str) -> String {
    format!(
        "table ip {link}
delete table ip {link}
table ip {link} {{
chain onto_the_host {{ type filter hook input priority -10; policy accept;
iifname \"{link}\" ip daddr != {HOST_ADDRESS} drop
}}
chain through {{ type filter hook forward priority -10; policy accept;
oifname \"{link}\" ct state established,related accept
oifname \"{link}\" drop
}}
chain out_under_our_address {{ type nat hook postrouting priority srcnat; policy accept;
iifname \"{link}\" masquerade
}}
}}
"
    )
}

/// Opens the way. Runs in the host's own namespace; doing it again changes nothing.
///
/// # Errors
/// What failed, in a sentence.
pub fn open(link: &str, settings: &Path) -> Result<(), String> {
    let sentence = |err: std::io::Error| format!("cannot forward to the internet: {err}");
    nft::apply(&rules(link)).map_err(|why| format!("cannot forward to the internet: {why}"))?;
    if !settings.exists() {
        let before = fs::read_to_string(FORWARDING).map_err(sentence)?;
        let text = serde_json::to_vec(before.trim()).expect("a string has a JSON form");
        write_private(settings, &text).map_err(|err| err.sentence())?;
    }
    fs::write(FORWARDING, "1").map_err(sentence)
}

/// Closes the way, if it was opened: our table goes, and forwarding is as it
/// was before unless another installation still needs it.
pub fn close(link: &str, settings: &Path) {
    let Ok(text) = fs::read(settings) else { return };
    // A table that is gone already is what we want.
    let _ = nft::apply(&format!("table ip {link}\ndelete table ip {link}\n"));
    let before: String = serde_json::from_slice(&text).unwrap_or_default();
    if before == "0" && !nft::has_table_like("ela") {
        let _ = fs::write(FORWARDING, "0");
    }
    let _ = fs::remove_file(settings);
}
