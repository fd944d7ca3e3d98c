//! `hotdns init`: a configuration that starts, from five questions or from flags.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use dns_userspace::config::{ConfigSource, Overrides};
use dns_userspace::model::name::Name;
use nix::unistd::{Group, Uid};

use super::check;
use super::failure::Failure;
use super::files::{failed, parse_name};
use super::output::write_out;

/// The mode of a file that is nobody else's to read.
const SECRET: u32 = 0o600;
/// The group of the user that the packages make.
const SERVICE_GROUP: &str = "hotdns";

/// Arguments of `hotdns init`. What is not given is asked for on a terminal, and has its default elsewhere.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The configuration that is written.
    #[arg(long, value_name = "FILE", default_value = "/etc/hotdns/hotdns.yaml")]
    config: PathBuf,
    /// Serve DNS on these addresses, comma-separated [default: all].
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    listen: Option<Vec<String>>,
    /// The port of DNS.
    #[arg(long, default_value_t = 53)]
    port: u16,
    /// Attach the XDP program to these interfaces, comma-separated [default: none].
    #[arg(long, value_name = "IF,…", value_delimiter = ',')]
    interface: Option<Vec<String>>,
    /// A zone to begin with; its file has an SOA and an NS record.
    #[arg(long, value_parser = parse_name)]
    zone: Option<Name>,
    /// The address of this server, which the zone's name server has [default: the first of --listen].
    #[arg(long, value_name = "ADDR")]
    address: Option<IpAddr>,
    /// Forward all other names to these resolvers, comma-separated [default: none, they are refused].
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    upstream: Option<Vec<String>>,
    /// Serve HTTP on this address; one that is not loopback gets a token [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<SocketAddr>,
    /// Where the database is kept.
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/hotdns")]
    storage: PathBuf,
    /// Replace files that are there.
    #[arg(long)]
    overwrite: bool,
    /// Ask nothing.
    #[arg(long, short)]
    yes: bool,
}

/// What was answered.
struct Answers {
    listen: Vec<String>,
    interfaces: Vec<String>,
    zone: Option<Name>,
    upstreams: Vec<String>,
    http: SocketAddr,
}

/// Writes the configuration, its zone and its token, and checks them as `hotdns check` does.
pub(crate) fn init(args: &InitArgs) -> Result<(), Failure> {
    let answers = answers(args)?;
    let folder = args
        .config
        .parent()
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or(Path::new("."));
    let mut written = vec![(args.config.clone(), config(args, &answers), 0o644)];
    if let Some(zone) = &answers.zone {
        let file = folder.join(zone_file(zone));
        written.push((file, zone_text(zone, address(args, &answers)), 0o644));
    }
    if !answers.http.ip().is_loopback() {
        written.push((folder.join("token"), format!("{}\n", token()?), SECRET));
    }
    if !args.overwrite
        && let Some((path, ..)) = written.iter().find(|(path, ..)| path.exists())
    {
        return Err(Failure::Usage(format!(
            "{} is there already: say --overwrite to replace it",
            path.display()
        )));
    }
    for (path, text, mode) in &written {
        write(path, text, *mode)?;
    }
    let source = ConfigSource {
        path: args.config.clone(),
        overrides: Overrides::default(),
    };
    check::check(&source, &mut io::stderr().lock()).map_err(|_| Failure::Findings)?;
    let mut text: String = written
        .iter()
        .map(|(path, ..)| format!("wrote {}\n", path.display()))
        .collect();
    let path = args.config.display();
    text.push_str(&format!(
        "Check this host: hotdns doctor --config {path}\nServe: hotdns run --config {path}\n"
    ));
    write_out(&text)
}

fn answers(args: &InitArgs) -> Result<Answers, Failure> {
    let asks = !args.yes && io::stdin().is_terminal();
    let list = |given: &Option<Vec<String>>, question: &str, otherwise: &str| match given {
        Some(given) => Ok(given.clone()),
        None => ask(asks, question, otherwise).map(|answer| words(&answer)),
    };
    let listen = list(&args.listen, "Serve DNS on which addresses? (empty: all)", "")?;
    let found = if asks { interfaces().join(", ") } else { String::new() };
    let question = format!("Answer from the network card on which interfaces? There are: {found} (empty: none)");
    let interfaces = list(&args.interface, &question, "")?;
    let zone = match &args.zone {
        Some(zone) => Some(zone.clone()),
        None => match ask(asks, "Which zone to begin with? (empty: none)", "")?.as_str() {
            "" => None,
            name => Some(parse_name(name).map_err(Failure::Usage)?),
        },
    };
    let question = "Forward other names to which resolvers, such as 1.1.1.1? (empty: refuse them)";
    let upstreams = list(&args.upstream, question, "")?;
    let http = match args.http {
        Some(http) => http,
        None => ask(asks, "Serve the HTTP API on which address?", "127.0.0.1:8080")?
            .parse()
            .map_err(|_| Failure::Usage("an address with its port is needed, as in 127.0.0.1:8080".to_owned()))?,
    };
    Ok(Answers {
        listen,
        interfaces,
        zone,
        upstreams,
        http,
    })
}

fn ask(asks: bool, question: &str, otherwise: &str) -> Result<String, Failure> {
    if !asks {
        return Ok(otherwise.to_owned());
    }
    let shown = if otherwise.is_empty() {
        String::new()
    } else {
        format!(" [{otherwise}]")
    };
    eprint!("{question}{shown} ");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| failed(Path::new("standard input"), error))?;
    let answer = answer.trim();
    Ok(if answer.is_empty() { otherwise } else { answer }.to_owned())
}

fn words(text: &str) -> Vec<String> {
    text.split([',', ' '])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Interfaces of this host, but for loopback.
fn interfaces() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.retain(|name| name != "lo");
    names.sort();
    names
}

fn config(args: &InitArgs, answers: &Answers) -> String {
    let list = |items: &[String]| {
        let quoted: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
        quoted.join(", ")
    };
    let mut text = format!(
        "# Written by `hotdns init`. Every key: docs/configuration.md. Validate with: hotdns check --config FILE\n\
         dns_port: {}\n",
        args.port
    );
    if answers.listen.is_empty() {
        text.push_str("# listen: [\"192.0.2.1\"]     # default: all addresses\n");
    } else {
        text.push_str(&format!("listen: [{}]\n", list(&answers.listen)));
    }
    text.push_str(&format!("storage: {{path: \"{}\"}}\n", args.storage.display()));
    if answers.http.ip().is_loopback() {
        text.push_str(&format!("http: {{listen: [\"{}\"]}}\n", answers.http));
    } else {
        text.push_str(&format!(
            "http: {{listen: [\"{}\"], token_file: token}}\n",
            answers.http
        ));
    }
    if answers.interfaces.is_empty() {
        text.push_str("# xdp: {interfaces: [eth0]}   # default: none, and everything is answered from sockets\n");
    } else {
        text.push_str(&format!("xdp: {{interfaces: [{}]}}\n", list(&answers.interfaces)));
    }
    if let Some(zone) = &answers.zone {
        text.push_str(&format!(
            "zones:\n  - name: \"{zone}\"\n    file: \"{}\"\n",
            zone_file(zone).display()
        ));
    }
    if !answers.upstreams.is_empty() {
        text.push_str(&format!(
            "backend:\n  upstream:\n    enabled: true\n    servers: [{}]\n",
            list(&answers.upstreams)
        ));
    }
    text
}

fn zone_file(zone: &Name) -> PathBuf {
    let name = zone.to_string().replace('/', "_");
    PathBuf::from(format!("zones/{name}zone"))
}

fn address(args: &InitArgs, answers: &Answers) -> Option<IpAddr> {
    let of_listen = || answers.listen.iter().find_map(|address| address.parse().ok());
    args.address
        .or_else(of_listen)
        .filter(|address| !address.is_unspecified())
}

fn zone_text(zone: &Name, address: Option<IpAddr>) -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |since| since.as_secs());
    let mut text = format!(
        "; {zone}: names without a final dot are below it.\n$TTL 3600\n\
         @   SOA ns1 hostmaster {seconds} 7200 900 1209600 300\n@   NS  ns1\n"
    );
    match address {
        Some(address) if address.is_ipv4() => text.push_str(&format!("ns1 A   {address}\n")),
        Some(address) => text.push_str(&format!("ns1 AAAA {address}\n")),
        None => text.push_str("; Put the address of this server here; 192.0.2.1 is an example.\nns1 A   192.0.2.1\n"),
    }
    text
}

fn token() -> Result<String, Failure> {
    let mut octets = [0; 24];
    let drawn = fs::File::open("/dev/urandom").and_then(|mut file| io::Read::read_exact(&mut file, &mut octets));
    drawn.map_err(|error| failed(Path::new("/dev/urandom"), error))?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path);
    file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        if mode == SECRET { keep_secret(&file) } else { Ok(()) }
    })
    .map_err(|error| failed(path, error))
}

/// Lets the service read the file, which root has written: the package's unit runs as a user of its own. Nobody else
/// reads it, whatever its mode was before.
fn keep_secret(file: &fs::File) -> io::Result<()> {
    let group = match Uid::effective().is_root() {
        true => Group::from_name(SERVICE_GROUP)?,
        false => None,
    };
    let mode = match group {
        Some(group) => {
            fchown(file, None, Some(group.gid.as_raw()))?;
            SECRET | 0o040
        }
        None => SECRET,
    };
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        init: InitArgs,
    }

    fn run(folder: &Path, flags: &[&str]) -> Result<(), Failure> {
        let config = folder.join("etc/hotdns.yaml").display().to_string();
        let line = ["init", "--yes", "--config", &config]
            .iter()
            .chain(flags)
            .copied()
            .collect::<Vec<_>>();
        init(&Line::try_parse_from(line).expect("valid").init)
    }

    #[test]
    fn what_is_written_is_valid_and_is_not_replaced_unasked() {
        let folder = tempfile::tempdir().expect("a folder");
        run(folder.path(), &[]).expect("the defaults");
        assert!(matches!(run(folder.path(), &[]), Err(Failure::Usage(text)) if text.contains("--overwrite")));
        let flags = "--overwrite --listen 127.0.0.1 --port 5300 --zone example.com --upstream 1.1.1.1,9.9.9.9 \
                     --http 192.0.2.7:8080 --interface lo";
        run(folder.path(), &flags.split_whitespace().collect::<Vec<_>>()).expect("all flags");
        let config = fs::read_to_string(folder.path().join("etc/hotdns.yaml")).expect("read");
        assert!(config.contains("servers: [\"1.1.1.1\", \"9.9.9.9\"]"), "{config}");
        let zone = fs::read_to_string(folder.path().join("etc/zones/example.com.zone")).expect("read");
        assert!(zone.contains("ns1 A   127.0.0.1"), "{zone}");
        let token = fs::metadata(folder.path().join("etc/token")).expect("a token");
        // The group's alone where the package is installed here, and root runs this.
        assert_eq!(token.permissions().mode() & !0o040 & 0o777, SECRET);
    }
}
