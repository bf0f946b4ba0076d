//! The application that the demo installs: a small web shop, as user data.
//!
//! It is written for what a machine has anyway: Python, or else Perl. A
//! per-boot script starts it, so that instances made from an image of the
//! first one serve without any user data. `ELASTANE_ROOT` is empty where the
//! instance has a root of its own, and its directory in the process driver.

use crate::data_dir::Problem;
use std::path::{Path, PathBuf};

/// Where the shop listens.
pub const PORT: i32 = 8080;

/// What its page says as installed.
pub const FIRST_PAGE: &str = "Welcome to the shop.";

/// What the application writes to the console when it listens.
pub const LISTENING: &str = "shop: listening";

/// The header that names the instance which answered.
pub const SERVED_BY: &str = "x-served-by";

/// Where a system keeps its interpreters; user data in a sandbox searches the same.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A page takes 50 ms to make, as pages do; the shop is not busy meanwhile, and
/// requests are always under way.
const PYTHON: &str = r#"import http.server, os, socketserver, time
root = os.environ.get("ELASTANE_ROOT", "")
name = os.environ.get("ELASTANE_INSTANCE_ID", "unknown")
address = (os.environ["ELASTANE_LOCAL_IPV4"], 8080)

class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        if self.path == "/health":
            body = b"ok\n"
        else:
            time.sleep(0.05)
            with open(root + "/opt/shop/page", "rb") as page:
                body = page.read()
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Served-By: %s\r\nContent-Length: %d\r\n\r\n"
        self.wfile.write((head % (name, len(body))).encode() + body)

    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

server = Server(address, Shop)
print("shop: listening on %s:%d" % address, flush=True)
server.serve_forever()
"#;

/// The same in Perl, with a process for each connection.
const PERL: &str = r#"use strict; use IO::Socket::INET;
$SIG{CHLD} = "IGNORE"; $| = 1;
my $root = $ENV{ELASTANE_ROOT} // ""; my $name = $ENV{ELASTANE_INSTANCE_ID} // "unknown";
my $address = $ENV{ELASTANE_LOCAL_IPV4};
my $server = IO::Socket::INET->new(LocalAddr => $address, LocalPort => 8080, Listen => 128, ReuseAddr => 1)
    or die "shop: cannot listen: $!\n";
print "shop: listening on $address:8080\n";
while (1) {
    my $client = $server->accept or next;
    my $child = fork; if ($child) { close $client; next }
    close $server; $client->autoflush(1);
    while (defined(my $line = <$client>)) {
        my $path = (split " ", $line)[1] // "/"; my $close = 0;
        while (defined(my $header = <$client>)) { last if $header =~ /^\r?\n$/; $close = 1 if $header =~ /^connection:\s*close/i }
        my $body = "ok\n";
        if ($path ne "/health") {
            select undef, undef, undef, 0.05;
            open my $page, "<", "$root/opt/shop/page"; local $/; $body = <$page>;
        }
        my $length = length $body;
        print $client "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Served-By: $name\r\nContent-Length: $length\r\n\r\n$body";
        last if $close;
    }
    exit 0;
}
"#;

/// The interpreter that the shop will run on, by name.
///
/// # Errors
/// What to install, when there is none.
pub fn interpreter() -> Result<&'static str, Problem> {
    let inherited = std::env::var("PATH").unwrap_or_default();
    let found = |name: &&str| on_path(SYSTEM_PATH, name).or_else(|| on_path(&inherited, name)).is_some();
    ["python3", "perl"].into_iter().find(found).ok_or_else(|| {
        Problem::new("the demo's web shop is written in Python and in Perl, and neither is here: install python3")
    })
}

fn on_path(path: &str, name: &str) -> Option<PathBuf> {
    path.split(':')
        .filter(|directory| !directory.is_empty())
        .map(|dir| Path::new(dir).join(name))
        .find(|file| file.is_file())
}

/// User data that installs the shop and starts it, now and at every boot.
pub fn user_data() -> String {
    format!(
        r#"#!/bin/sh
set -eu
shop="$ELASTANE_ROOT/opt/shop"
boot="$ELASTANE_ROOT/var/lib/cloud/scripts/per-boot"
mkdir -p "$shop" "$boot"
echo '{FIRST_PAGE}' > "$shop/page"
cat > "$shop/shop.py" <<'END_OF_PYTHON'
{PYTHON}END_OF_PYTHON
cat > "$shop/shop.pl" <<'END_OF_PERL'
{PERL}END_OF_PERL
cat > "$boot/shop" <<'END_OF_BOOT'
#!/bin/sh
PATH="{SYSTEM_PATH}:$PATH"
if command -v python3 > /dev/null; then set -- python3 -S -E "$ELASTANE_ROOT/opt/shop/shop.py"
else set -- perl "$ELASTANE_ROOT/opt/shop/shop.pl"; fi
"$@" &
END_OF_BOOT
chmod 755 "$boot/shop"
exec "$boot/shop"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No line of the application ends a here-document early, and both
    /// versions announce themselves in the words that the demo waits for.
    #[test]
    fn user_data_is_one_script() {
        let text = user_data();
        assert!(text.starts_with("#!/bin/sh\n"));
        for mark in ["END_OF_PYTHON", "END_OF_PERL", "END_OF_BOOT"] {
            assert_eq!(text.lines().filter(|line| *line == mark).count(), 1);
        }
        assert!(PYTHON.contains(LISTENING) && PERL.contains(LISTENING));
        assert!(PYTHON.to_lowercase().contains(SERVED_BY) && PERL.to_lowercase().contains(SERVED_BY));
    }
}
