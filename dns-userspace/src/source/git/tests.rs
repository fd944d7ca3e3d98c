use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::config::{Signers, TextSettings};

const ZONE: &str =
    "$TTL 60\n@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.1\n";

/// A repository that somebody works in.
struct Work(tempfile::TempDir);

impl Work {
    fn new() -> Self {
        let work = Self(tempfile::tempdir().expect("a folder"));
        std::fs::create_dir(work.path()).expect("a folder");
        work.git(&["init", "--quiet", "--initial-branch", "main"]);
        work
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("work")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=A Person", "-c", "user.email=person@example.org"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    fn commit(&self, files: &[(&str, &str)], subject: &str) -> String {
        for (file, text) in files {
            self.write(file, text);
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn settings(&self) -> GitSource {
        GitSource {
            url: self.path().to_string_lossy().into(),
            branch: Some("main".into()),
            path: "zones".into(),
            texts: TextSettings {
                zones: Vec::new(),
                ttl: 300,
            },
            poll: Duration::from_millis(5),
            token_file: None,
            ssh_key_file: None,
            known_hosts_file: None,
            signers: None,
            clone: self.0.path().join("state/git/zones").into(),
        }
    }
}

fn keys(listing: &Listing) -> Vec<String> {
    listing.objects.iter().map(|object| object.key.to_string()).collect()
}

#[tokio::test]
async fn commits_are_taken_whole_and_only_new_files_are_read() {
    let work = Work::new();
    let first = work.commit(
        &[
            ("zones/example.com.zone", ZONE),
            ("zones/b.example.zone", ZONE),
            ("README.md", "x"),
        ],
        "one",
    );
    let mut git = Git::new(work.settings());
    let listing = git.list().await.expect("a commit");
    assert_eq!(keys(&listing), ["b.example.zone", "example.com.zone"]);
    assert_eq!(listing.resume.as_deref(), Some(&*first));
    let revision = git.revision().expect("a commit");
    assert_eq!(&*revision.name, format!("commit {first}"));
    assert_eq!(revision.comment.as_deref(), Some("A Person: one"));

    let unchanged = Arc::clone(&git.read["b.example.zone"].1);
    work.commit(
        &[("zones/example.com.zone", &ZONE.replace("192.0.2.1", "192.0.2.2"))],
        "two",
    );
    let event = git.next().await.expect("another commit");
    assert!(matches!(event.change, Change::Relist), "{event:?}");
    git.list().await.expect("a commit");
    assert!(
        Arc::ptr_eq(&unchanged, &git.read["b.example.zone"].1),
        "it was read again"
    );

    // One bad file among good ones.
    let bad = work.commit(
        &[
            ("zones/example.com.zone", &format!("{ZONE}x A nonsense\n")),
            ("zones/b.example.zone", &ZONE.replace("192.0.2.1", "192.0.2.3")),
        ],
        "three",
    );
    git.next().await.expect("another commit");
    let error = git.list().await.expect_err("a bad commit");
    assert_eq!(
        error.0.split(": ").take(2).collect::<Vec<_>>(),
        [
            format!("commit {bad} is refused"),
            "zones/example.com.zone:6:5".to_owned()
        ],
        "{error}"
    );
    assert_eq!(git.list().await.expect_err("still"), error);
    // Taken back by force: history is what the branch says.
    work.git(&["reset", "--quiet", "--hard", &first]);
    let listing = git.list().await.expect("the first commit");
    assert_eq!(listing.resume.as_deref(), Some(&*first));
    assert_eq!(keys(&listing).len(), 2);
}

#[tokio::test]
async fn branches_and_repositories_may_be_away() {
    let work = Work::new();
    work.commit(&[("zones/example.com.zone", ZONE)], "one");
    let mut settings = work.settings();
    settings.branch = Some("release".into());
    let mut git = Git::new(settings.clone());
    let error = git.list().await.expect_err("no such branch");
    assert!(error.0.contains("has no branch `release`"), "{error}");
    work.git(&["branch", "release"]);
    git.list().await.expect("a branch");
    // What a crash leaves behind.
    std::fs::write(settings.clone.join("refs/hotdns/head.lock"), "").expect("written");
    work.git(&["checkout", "--quiet", "release"]);
    work.commit(
        &[("zones/example.com.zone", &ZONE.replace("192.0.2.1", "192.0.2.2"))],
        "two",
    );
    git.list().await.expect("a new clone");
    work.git(&["checkout", "--quiet", "main"]);
    // The default branch, and one file alone.
    settings.branch = None;
    settings.path = "zones/example.com.zone".into();
    let mut git = Git::new(settings.clone());
    assert_eq!(keys(&git.list().await.expect("one file")), ["example.com.zone"]);

    std::fs::rename(work.path(), work.0.path().join("elsewhere")).expect("renamed");
    let error = git.list().await.expect_err("no repository");
    assert!(error.0.starts_with("git fetch: "), "{error}");
    assert_eq!(
        git.revision().map(|revision| revision.name.starts_with("commit ")),
        Some(true)
    );

    settings.url = "ext::sh -c touch% /tmp/x".into();
    let error = Git::new(settings).list().await.expect_err("no helper is run");
    assert!(error.0.contains("transport 'ext' not allowed"), "{error}");
}

/// Signs with a key that ssh-keygen makes, as `git commit -S` does.
#[tokio::test]
async fn only_commits_of_listed_signers_are_taken() {
    let work = Work::new();
    let key = work.0.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status()
        .expect("ssh-keygen runs");
    assert!(made.success());
    let public = std::fs::read_to_string(key.with_extension("pub")).expect("a key");
    let signers = work.0.path().join("signers");
    std::fs::write(&signers, format!("person@example.org {public}")).expect("written");
    let sign = |work: &Work| {
        work.git(&["config", "gpg.format", "ssh"]);
        work.git(&["config", "user.signingkey", &key.to_string_lossy()]);
        work.git(&["commit", "--quiet", "--amend", "--no-edit", "-S"]);
    };
    work.commit(&[("zones/example.com.zone", ZONE)], "unsigned");
    let mut settings = work.settings();
    settings.signers = Some(Signers {
        allowed_signers: Some(signers.as_path().into()),
        gnupg_home: None,
    });
    let mut git = Git::new(settings.clone());
    let error = git.list().await.expect_err("unsigned");
    assert!(error.0.contains("it has no signature of somebody"), "{error}");
    sign(&work);
    git.list().await.expect("signed");
    // Somebody else's key.
    std::fs::write(
        &signers,
        "other@example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBuZ0Jm1Vn7dZ2m8yqf8Yp2k0f2s4cGJq2bQ8l1vW3xK\n",
    )
    .expect("written");
    git.list().await.expect_err("not a signer");
}

#[tokio::test]
async fn a_token_is_sent_to_its_server_and_shown_to_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let work = Work::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut octets = vec![0; 8192];
        let length = stream.read(&mut octets).await.expect("a request");
        let reply = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(reply).await.expect("a reply");
        String::from_utf8_lossy(&octets[..length]).into_owned()
    });
    let token = work.0.path().join("token");
    std::fs::write(&token, "s3cret\n").expect("written");
    let mut settings = work.settings();
    settings.url = format!("http://{address}/zones.git").into();
    settings.token_file = Some(Path::new(&token).into());
    let error = Git::new(settings).list().await.expect_err("403");
    assert!(error.0.contains("403") && !error.0.contains("s3cret"), "{error}");
    let request = server.await.expect("a request");
    // x-access-token:s3cret
    assert!(
        request.contains("Authorization: Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0"),
        "{request}"
    );
}
