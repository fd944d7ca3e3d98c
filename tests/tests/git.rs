//! Zones in Git repositories: over a path, over HTTP (`git http-backend` behind nginx, and plain files), and from `git
//! daemon`; bad commits, branches that are rewritten, restarts with the repository away.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tests::net::{PATIENCE, Running, run};
use tests::server::{Server, eventually, free_port};

const ZONE: &str =
    "$TTL 60\n@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.1\n";

/// A bare repository with a working copy beside it.
struct Repository(TempDir);

impl Repository {
    fn new() -> Result<Self> {
        let this = Self(TempDir::new()?);
        let bare = this.bare();
        let bare = bare.to_str().context("a path")?;
        run("git", &["init", "--quiet", "--bare", "--initial-branch", "main", bare])?;
        let work = this.work();
        run("git", &["clone", "--quiet", bare, work.to_str().context("a path")?])?;
        this.git(&["checkout", "--quiet", "-B", "main"])?;
        Ok(this)
    }

    fn bare(&self) -> PathBuf {
        self.0.path().join("zones.git")
    }

    fn work(&self) -> PathBuf {
        self.0.path().join("work")
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let work = self.work();
        let fixed = [
            "-C",
            work.to_str().context("a path")?,
            "-c",
            "user.name=P",
            "-c",
            "user.email=p@example.org",
        ];
        Ok(run("git", &[&fixed, arguments].concat())?.trim().to_owned())
    }

    /// Writes files, commits and pushes them; the commit.
    fn push(&self, files: &[(&str, &str)], subject: &str) -> Result<String> {
        for (file, text) in files {
            let path = self.work().join(file);
            std::fs::create_dir_all(path.parent().context("a folder")?)?;
            std::fs::write(path, text)?;
        }
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", subject])?;
        self.git(&["push", "--quiet", "--force", "origin", "main"])?;
        self.git(&["rev-parse", "HEAD"])
    }
}

fn www(address: &str) -> String {
    ZONE.replace("www A 192.0.2.1", &format!("www A {address}"))
}

fn source(server: &Server) -> Result<Value> {
    let reply = server.request("GET", "/api/v1/sources", None)?;
    reply.json["sources"].get(0).cloned().context("one source")
}

fn answers(server: &Server, name: &str, rtype: &str, wanted: &str) -> Result<()> {
    let answered = eventually(&format!("{name} {rtype} {wanted}"), || {
        Ok(server.dig(&[name, rtype, "+short"])?.trim() == wanted)
    });
    answered.with_context(|| format!("{:?}\n{}", source(server).ok(), server.log()))
}

fn is_at(server: &Server, commit: &str) -> Result<()> {
    eventually(&format!("at {commit}"), || {
        Ok(source(server)?["revision"] == format!("commit {commit}"))
    })
}

fn config(url: &str, poll: &str) -> String {
    format!("sources: {{git: [{{name: zones, url: \"{url}\", branch: main, path: zones/, poll: {poll}}}]}}\n")
}

fn sync(server: &Server) -> Result<()> {
    let reply = server.request("POST", "/api/v1/sources/git/zones/sync", None)?;
    ensure!(reply.status == 202, "{reply:?}");
    Ok(())
}

#[test]
fn a_repository_is_followed_and_a_bad_commit_changes_nothing() -> Result<()> {
    let repository = Repository::new()?;
    let records = "records: [{name: printer.lan, type: A, value: 192.0.2.9}]\n";
    let first = repository.push(
        &[
            ("zones/a.example.zone", &www("192.0.2.1")),
            ("zones/lan.yaml", records),
            ("README.md", "# zones\n"),
        ],
        "zones",
    )?;
    let url = repository.bare();
    let mut server = Server::start(&config(url.to_str().context("a path")?, "200ms"))?;
    answers(&server, "www.a.example", "A", "192.0.2.1")?;
    answers(&server, "a.example", "NS", "ns1.a.example.")?;
    answers(&server, "printer.lan", "A", "192.0.2.9")?;
    is_at(&server, &first)?;
    // A zone like any other: what is not there is denied with its SOA record.
    let denied = server.dig(&["nothing.a.example", "A"])?;
    ensure!(
        denied.contains("NXDOMAIN") && denied.contains("SOA\tns1.a.example."),
        "{denied}"
    );

    let second = repository.push(&[("zones/a.example.zone", &www("192.0.2.2"))], "www moves")?;
    answers(&server, "www.a.example", "A", "192.0.2.2")?;
    is_at(&server, &second)?;
    let history = server.request("GET", "/api/v1/history?name=www.a.example", None)?;
    let entry = &history.json["entries"][0];
    ensure!(
        entry["actor"] == format!("commit {second}") && entry["comment"] == "P: www moves",
        "{history:?}"
    );
    let status = Command::new(tests::server::program()?)
        .arg("status")
        .env("HOTDNS_URL", format!("http://{}", server.http))
        .output()?;
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    ensure!(
        status.contains(&format!("git/zones synced at commit {second}")),
        "{status}"
    );

    // One bad file: the other one is not taken either.
    let bad = format!("{}x A nonsense\n", www("192.0.2.3"));
    let third = repository.push(
        &[
            ("zones/a.example.zone", &bad),
            ("zones/lan.yaml", &records.replace("192.0.2.9", "192.0.2.10")),
        ],
        "a slip",
    )?;
    eventually("the bad commit is told", || {
        let error = source(&server)?["error"].as_str().unwrap_or_default().to_owned();
        Ok(error.contains(&third) && error.contains("zones/a.example.zone:6:5"))
    })?;
    ensure!(source(&server)?["state"] == "degraded");
    is_at(&server, &second)?;
    answers(&server, "printer.lan", "A", "192.0.2.9")?;

    // Also after a restart with the repository away.
    let elsewhere = repository.0.path().join("elsewhere");
    std::fs::rename(&url, &elsewhere)?;
    server.kill()?;
    server.run()?;
    answers(&server, "www.a.example", "A", "192.0.2.2")?;
    is_at(&server, &second)?;
    std::fs::rename(&elsewhere, &url)?;

    // The branch is rewritten, and the mistake never was.
    repository.git(&["reset", "--quiet", "--hard", &second])?;
    let fourth = repository.push(&[("zones/a.example.zone", &www("192.0.2.4"))], "again")?;
    answers(&server, "www.a.example", "A", "192.0.2.4")?;
    is_at(&server, &fourth)?;

    // The branch goes, and comes back.
    repository.git(&["push", "--quiet", "origin", "main:kept"])?;
    run(
        "git",
        &["-C", url.to_str().context("a path")?, "branch", "--quiet", "-D", "main"],
    )?;
    eventually("the missing branch is told", || {
        Ok(source(&server)?["error"]
            .as_str()
            .is_some_and(|error| error.contains("no branch `main`")))
    })?;
    answers(&server, "www.a.example", "A", "192.0.2.4")?;
    repository.git(&["push", "--quiet", "origin", "main"])?;
    eventually("synced", || Ok(source(&server)?["state"] == "synced"))?;

    // A commit that removes everything is not believed, until somebody says so.
    repository.git(&["rm", "-r", "--quiet", "zones"])?;
    let empty = repository.push(&[], "oops")?;
    eventually("the empty commit is doubted", || {
        let error = source(&server)?["error"].as_str().unwrap_or_default().to_owned();
        Ok(error.contains(&empty) && error.contains("sync"))
    })?;
    answers(&server, "www.a.example", "A", "192.0.2.4")?;
    // A webhook is no person.
    sync(&server)?;
    let forced = server.request("POST", "/api/v1/sources/git/zones/sync?force=true", None)?;
    ensure!(forced.status == 202, "{forced:?}");
    answers(&server, "www.a.example", "A", "")?;
    is_at(&server, &empty)?;
    ensure!(server.stop()?.success());
    Ok(())
}

/// What serves a repository on one port of loopback.
struct Remote {
    address: SocketAddr,
    _running: Vec<Running>,
    _folder: TempDir,
}

fn followed_over(url: &str, repository: &Repository) -> Result<()> {
    let server = Server::start(&config(url, "1h"))?;
    answers(&server, "www.a.example", "A", "192.0.2.1")?;
    // A webhook, long before it is looked at again.
    repository.push(&[("zones/a.example.zone", &www("192.0.2.7"))], "seven")?;
    run(
        "git",
        &[
            "-C",
            repository.bare().to_str().context("a path")?,
            "update-server-info",
        ],
    )?;
    sync(&server)?;
    answers(&server, "www.a.example", "A", "192.0.2.7")
}

fn with_zone() -> Result<Repository> {
    let repository = Repository::new()?;
    repository.push(&[("zones/a.example.zone", &www("192.0.2.1"))], "zones")?;
    run(
        "git",
        &[
            "-C",
            repository.bare().to_str().context("a path")?,
            "update-server-info",
        ],
    )?;
    Ok(repository)
}

fn listening(address: SocketAddr) -> bool {
    std::net::TcpStream::connect(address).is_ok()
}

/// nginx, with `git http-backend` behind it and the same folder as plain files.
fn nginx(root: &Path) -> Result<Remote> {
    let folder = TempDir::new()?;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let (at, root) = (folder.path().display().to_string(), root.display());
    let settings = format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log; worker_processes 1; \
         user root;\nevents {{}}\nhttp {{\n\
         access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;\n\
         uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\nserver {{ listen {address};\n\
         location /plain/ {{ alias {root}/; }}\n\
         location ~ ^/smart(/.*)$ {{ fastcgi_pass unix:{at}/cgi.socket; fastcgi_param SCRIPT_FILENAME \
         /usr/lib/git-core/git-http-backend; fastcgi_param GIT_HTTP_EXPORT_ALL 1; fastcgi_param GIT_PROJECT_ROOT \
         {root}; fastcgi_param PATH_INFO $1; fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD \
         $request_method; fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length; \
         fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding; fastcgi_param GIT_PROTOCOL $http_git_protocol; \
         }}\n}}\n}}\n"
    );
    std::fs::write(folder.path().join("nginx.conf"), settings)?;
    let socket = folder.path().join("cgi.socket");
    let mut command = Command::new("fcgiwrap");
    command.arg("-s").arg(format!("unix:{}", socket.display()));
    let mut cgi = Running::start(command, &folder.path().join("cgi.log"))?;
    cgi.wait_until("fcgiwrap", PATIENCE, || socket.exists())?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(folder.path().join("nginx.conf"));
    let mut web = Running::start(command, &folder.path().join("nginx.log"))?;
    web.wait_until("nginx", PATIENCE, || listening(address))?;
    Ok(Remote {
        address,
        _running: vec![web, cgi],
        _folder: folder,
    })
}

#[test]
fn over_http_with_the_protocol_of_git_and_as_plain_files() -> Result<()> {
    for kind in ["smart", "plain"] {
        let repository = with_zone()?;
        let remote = nginx(repository.0.path())?;
        followed_over(&format!("http://{}/{kind}/zones.git", remote.address), &repository).context(kind)?;
    }
    Ok(())
}

#[test]
fn from_git_daemon() -> Result<()> {
    let repository = with_zone()?;
    let folder = TempDir::new()?;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    // Not `git daemon`: what is ended has to be the daemon itself.
    let mut command = Command::new("/usr/lib/git-core/git-daemon");
    command.args(["--export-all", "--listen=127.0.0.1", "--reuseaddr"]);
    command.arg(format!("--port={}", address.port()));
    command.arg(format!("--base-path={}", repository.0.path().display()));
    let mut daemon = Running::start(command, &folder.path().join("log"))?;
    daemon.wait_until("git daemon", PATIENCE, || listening(address))?;
    followed_over(&format!("git://{address}/zones.git"), &repository)
}

/// A provider's zone goes on being answered without the provider, and for as long as is wanted.
#[test]
fn an_export_is_answered_on_without_its_file_until_it_expires() -> Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("a.example.txt");
    std::fs::write(&file, format!("; exported\n$ORIGIN a.example.\n{}", www("192.0.2.1")))?;
    let config = |expire: &str| {
        let path = folder.path().display();
        format!("sources: {{export: [{{name: hetzner, path: \"{path}\"{expire}}}]}}\n")
    };
    let mut server = Server::start(&config(""))?;
    answers(&server, "www.a.example", "A", "192.0.2.1")?;
    answers(&server, "a.example", "NS", "ns1.a.example.")?;
    std::fs::write(&file, format!("$ORIGIN a.example.\n{}", www("192.0.2.2")))?;
    answers(&server, "www.a.example", "A", "192.0.2.2")?;
    std::fs::remove_dir_all(folder.path())?;
    eventually("the export is away", || Ok(source(&server)?["state"] == "degraded"))?;
    server.kill()?;
    server.run()?;
    answers(&server, "www.a.example", "A", "192.0.2.2")?;
    eventually("its age is shown", || {
        let age = server.metric("hotdns_source_sync_age_seconds{kind=\"export\",name=\"hetzner\"}")?;
        Ok(age >= 1.0 && source(&server)?["age_seconds"].as_u64().is_some_and(|age| age >= 1))
    })?;
    server.stop()?;
    let settings = std::fs::read_to_string(server.path("hotdns.yaml"))?;
    server.write(
        "hotdns.yaml",
        &settings.replace("name: hetzner", "name: hetzner, expire: 1s"),
    )?;
    server.run()?;
    answers(&server, "www.a.example", "A", "")
}
