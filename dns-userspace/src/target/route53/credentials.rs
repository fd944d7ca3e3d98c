//! Credentials in the format of the AWS command line: `key = value` lines, the first section.

/// What requests are signed with.
pub(super) struct Credentials {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: Option<String>,
}

impl Credentials {
    /// From the text of the file. No error shows any of it.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let mut found: [Option<String>; 3] = Default::default();
        let names = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
        for line in text.lines() {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            if let Some(at) = names.iter().position(|name| *name == key.trim()) {
                // Those of the first section count.
                found[at].get_or_insert_with(|| value.trim().to_owned());
            }
        }
        let [access_key, secret_key, session_token] = found;
        Ok(Self {
            access_key: access_key.ok_or("it has no line `aws_access_key_id = …`")?,
            secret_key: secret_key.ok_or("it has no line `aws_secret_access_key = …`")?,
            session_token,
        })
    }
}
