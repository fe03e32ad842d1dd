//! Which filters a session is subscribed to, remembered over restarts.
//!
//! A persistent session keeps the subscriptions of an earlier configuration, and MQTT has no way to ask for them. The
//! file is written before the broker is asked, so it always names at least what the session has; what is in it and no
//! longer wanted is unsubscribed.

use std::io;
use std::path::PathBuf;

use engine::event::Text;

/// The record of one session; without a state folder it remembers nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    path: Option<PathBuf>,
    client_id: String,
}

impl Record {
    /// The record of `client_id`, kept for the source `name` in the state folder.
    pub(super) fn new(state: Option<PathBuf>, name: &str, client_id: &str) -> Record {
        let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        Record {
            path: state.map(|folder| folder.join(format!("mqtt-{safe}.session"))),
            client_id: client_id.to_owned(),
        }
    }

    /// The filters that the session may be subscribed to.
    pub(super) fn read(&self) -> io::Result<Vec<Text>> {
        let Some(path) = &self.path else { return Ok(Vec::new()) };
        let content = match std::fs::read_to_string(path) {
            Ok(content) => content,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(cause) => return Err(cause),
        };
        // A filter can hold any character but null, which therefore ends each entry.
        let mut entries = content.split_terminator('\0');
        if entries.next() != Some(&self.client_id) {
            return Ok(Vec::new());
        }
        Ok(entries.map(Text::new).collect())
    }

    /// Remembers `filters`.
    pub(super) fn write(&self, filters: &[Text]) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut content = format!("{}\0", self.client_id);
        for filter in filters {
            content.push_str(filter);
            content.push('\0');
        }
        let fresh = path.with_extension("session.new");
        std::fs::write(&fresh, content)?;
        std::fs::rename(&fresh, path)
    }

    /// The session has ended.
    pub(super) fn forget(&self) -> io::Result<()> {
        match self.path.as_ref().map(std::fs::remove_file) {
            Some(Err(cause)) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_come_back_for_the_same_client_only() {
        let folder = tempfile::tempdir().unwrap();
        let record = |client: &str| Record::new(Some(folder.path().into()), "a/b", client);
        let filters: Vec<Text> = vec!["v1/+/x\ny".into(), "$share/g/é".into()];
        assert_eq!(record("c").read().unwrap(), Vec::<Text>::new());
        record("c").write(&filters).unwrap();
        assert_eq!(record("c").read().unwrap(), filters);
        assert_eq!(record("d").read().unwrap(), Vec::<Text>::new());
        record("c").forget().unwrap();
        record("c").forget().unwrap();
        assert_eq!(record("c").read().unwrap(), Vec::<Text>::new());
    }

    #[test]
    fn without_a_folder_nothing_is_remembered() {
        let record = Record::new(None, "a", "c");
        record.write(&["x".into()]).unwrap();
        assert_eq!(record.read().unwrap(), Vec::<Text>::new());
        record.forget().unwrap();
    }
}
