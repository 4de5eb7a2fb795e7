//! The folder that plugins are dropped into: which files lie there, and which of them are new and at rest.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use crate::limits;

/// Ending of a plugin's file.
const ENDING: &str = "wasm";

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    modified: (i64, i64),
    inode: u64,
}

/// What lies in the folder for one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    component: Stamp,
    sidecar: Option<Stamp>,
}

/// What a look at the folder has shown.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Plugins that are new or have changed, and are at rest.
    pub(super) changed: Vec<String>,
    /// Plugins whose files are gone.
    pub(super) gone: Vec<String>,
    /// Plugins with a file that is there and cannot be looked at, and why, for people; none when that is over.
    pub(super) unseen: Vec<(String, Option<String>)>,
    /// Files that would be plugins under another name, seen for the first time; and why.
    pub(super) unnamed: Vec<(String, BadName)>,
}

/// A file cannot be a plugin by its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadName {
    /// The ending is another one.
    #[error("the name of a plugin's file ends in `.wasm`, in small letters; rename it")]
    Ending,
    /// It is not looked at beside a plugin, whose settings it may be meant to be.
    #[error("the settings of a plugin stand in a file that ends in `.yaml`; rename it")]
    Sidecar,
    /// What stands before the ending is no name.
    #[error(
        "a plugin's name has up to {} letters, digits, dots, dashes and underscores, and begins with none of `.-`; \
         rename it",
        limits::plugin::NAME_BYTES
    )]
    Name,
}

/// Follows the folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    before: BTreeMap<String, Found>,
    /// What was told as changed, as it was then.
    told: BTreeMap<String, Found>,
    /// What is told once more when it is at rest.
    again: BTreeSet<String>,
    /// Looks that a told plugin was missing in, one after the other.
    missing: BTreeMap<String, u32>,
    /// What could not be looked at, and why.
    unseen: BTreeMap<String, String>,
    unnamed: BTreeMap<String, BadName>,
}

/// What one look has found.
#[derive(Debug, Default)]
struct Scan {
    found: BTreeMap<String, Found>,
    unseen: BTreeMap<String, String>,
    unnamed: BTreeMap<String, BadName>,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        let (before, told, missing) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (again, unseen, unnamed) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Self { path, before, told, again, missing, unseen, unnamed }
    }

    pub(super) fn component(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.{ENDING}"))
    }

    pub(super) fn sidecar(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.yaml"))
    }

    /// Has a plugin be told as changed once more, when it is at rest.
    pub(super) fn tell_again(&mut self, name: &str) {
        self.again.insert(name.to_owned());
    }

    /// Tells whether a plugin has a file.
    pub(super) fn has(&self, name: &str) -> bool {
        self.before.contains_key(name)
    }

    /// Says why the file of a plugin cannot be looked at, if so.
    pub(super) fn unseen(&self, name: &str) -> Option<&str> {
        self.unseen.get(name).map(String::as_str)
    }

    /// Returns the files that would be plugins under another name, and why.
    pub(super) fn unnamed(&self) -> &BTreeMap<String, BadName> {
        &self.unnamed
    }

    /// Looks at the folder. At the first look (`at_once`) everything counts as at rest, else what has not changed since
    /// the look before. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read; then nothing counts as gone. One that does not exist is like an empty one, unless
    /// there were plugins in it. A file that is there and cannot be looked at counts as it was when it could be.
    pub(super) fn look(&mut self, at_once: bool) -> io::Result<News> {
        let Scan { found: mut now, unseen, unnamed } = match scan(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.told.is_empty() => Scan::default(),
            scanned => scanned?,
        };
        let mut news = News::default();
        for (name, why) in &unseen {
            if self.unseen.get(name) != Some(why) {
                news.unseen.push((name.clone(), Some(why.clone())));
            }
            now.extend(self.before.get(name).map(|found| (name.clone(), found.clone())));
        }
        for name in self.unseen.keys().filter(|name| !unseen.contains_key(*name)) {
            news.unseen.push((name.clone(), None));
            // It may be another one.
            if now.contains_key(name) {
                self.again.insert(name.clone());
            }
        }
        self.unseen = unseen;
        for (name, found) in &now {
            let at_rest = at_once || self.before.get(name) == Some(found);
            let is_told = || self.told.get(name) == Some(found) && !self.again.contains(name);
            if at_rest && !self.unseen.contains_key(name) && !is_told() {
                self.again.remove(name);
                self.told.insert(name.clone(), found.clone());
                news.changed.push(name.clone());
            }
        }
        let gone: Vec<String> = self.told.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
        self.missing.retain(|name, _| gone.contains(name));
        for name in gone {
            // A file that is being replaced is away for a moment.
            let looks = self.missing.entry(name.clone()).or_default();
            *looks += 1;
            if *looks >= limits::plugin::LOOKS_GONE {
                self.missing.remove(&name);
                self.told.remove(&name);
                self.again.remove(&name);
                news.gone.push(name);
            }
        }
        let new = unnamed.iter().filter(|(file, _)| !self.unnamed.contains_key(*file));
        news.unnamed = new.map(|(file, why)| (file.clone(), why.clone())).collect();
        self.unnamed = unnamed;
        self.before = now;
        Ok(news)
    }
}

/// Returns what lies directly in a folder: plugins, and names that cannot be plugins.
fn scan(path: &Path) -> io::Result<Scan> {
    let mut scan = Scan::default();
    for entry in fs::read_dir(path)? {
        let entry = entry?.path();
        if file_name(&entry).starts_with('.') {
            // Not meant for anybody, such as what some systems put beside each file they copy.
            continue;
        }
        if entry.extension().is_some_and(|extension| extension == "yml") && entry.with_extension(ENDING).exists() {
            scan.unnamed.insert(file_name(&entry), BadName::Sidecar);
            continue;
        }
        if entry.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case(ENDING)) {
            continue;
        }
        let name = match name_of(&entry) {
            Ok(name) => name,
            Err(why) => {
                scan.unnamed.insert(file_name(&entry), why);
                continue;
            }
        };
        let sidecar = entry.with_extension("yaml");
        match (stamp(&entry), stamp(&sidecar)) {
            (Ok(Some(component)), Ok(sidecar)) => {
                scan.found.insert(name.to_owned(), Found { component, sidecar });
            }
            // What goes away meanwhile is not there.
            (Ok(None), _) => {}
            (Err(error), _) => drop(scan.unseen.insert(name.to_owned(), unseen(&entry, &error))),
            (_, Err(error)) => drop(scan.unseen.insert(name.to_owned(), unseen(&sidecar, &error))),
        }
    }
    Ok(scan)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn unseen(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    format!("{path} is there and cannot be looked at: {error}; check its rights, or where it points to, or remove it")
}

/// Returns the name of the plugin that a file would be.
///
/// # Errors
/// [`BadName`] when it cannot be one by its name.
pub fn name_of(file: &Path) -> Result<&str, BadName> {
    if file.extension().is_none_or(|extension| extension != ENDING) {
        return Err(BadName::Ending);
    }
    file.file_stem().and_then(|stem| stem.to_str()).filter(|name| is_name(name)).ok_or(BadName::Name)
}

/// Tells whether a text can be the name of a plugin: it stands in commands, logs, paths and the configuration.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fits = (1..=limits::plugin::NAME_BYTES).contains(&name.len());
    fits && !name.starts_with(['.', '-']) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Returns the stamp of a file; none when nothing of that name is there.
fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    let metadata = match fs::metadata(path) {
        // A link that leads nowhere is there: what it leads to may come back.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if is_missing(path) { Ok(None) } else { Err(error) };
        }
        metadata => metadata?,
    };
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    Ok(Some(Stamp { length: metadata.len(), modified, inode: metadata.ino() }))
}

/// Tells whether nothing of that name is there, not even a link that leads nowhere.
pub(super) fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_once_it_is_at_rest_and_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        let mut follows = Folder::new(folder.path().to_owned());
        assert!(follows.look(true).unwrap().changed.is_empty());
        fs::write(&path, "one").unwrap();
        assert!(follows.look(false).unwrap().changed.is_empty());
        fs::write(&path, "longer").unwrap();
        assert!(follows.look(false).unwrap().changed.is_empty());
        assert_eq!(follows.look(false).unwrap().changed, ["a"]);
        assert!(follows.look(false).unwrap().changed.is_empty());

        fs::write(folder.path().join("a.yaml"), "enabled: true").unwrap();
        follows.look(false).unwrap();
        assert_eq!(follows.look(false).unwrap().changed, ["a"]);

        fs::remove_file(&path).unwrap();
        for _ in 1..limits::plugin::LOOKS_GONE {
            assert!(follows.look(false).unwrap().gone.is_empty());
        }
        assert_eq!(follows.look(false).unwrap().gone, ["a"]);
        assert!(follows.look(false).unwrap().gone.is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_read_removes_nothing() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("plugins");
        let mut follows = Folder::new(folder.clone());
        assert!(follows.look(true).unwrap().changed.is_empty());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.wasm"), "one").unwrap();
        assert_eq!(follows.look(true).unwrap().changed, ["a"]);
        fs::remove_dir_all(&folder).unwrap();
        for _ in 0..2 * limits::plugin::LOOKS_GONE {
            assert!(follows.look(false).is_err());
        }
    }

    #[test]
    fn a_file_that_cannot_be_looked_at_is_not_gone() {
        let folder = tempfile::tempdir().unwrap();
        let away = tempfile::tempdir().unwrap();
        let target = away.path().join("target");
        for link in ["a.wasm", "a.yaml"] {
            let _ = fs::remove_file(folder.path().join("a.wasm"));
            fs::write(&target, "one").unwrap();
            fs::write(folder.path().join("a.wasm"), "one").unwrap();
            let _ = fs::remove_file(folder.path().join(link));
            std::os::unix::fs::symlink(&target, folder.path().join(link)).unwrap();
            let mut follows = Folder::new(folder.path().to_owned());
            assert_eq!(follows.look(true).unwrap().changed, ["a"]);
            // What it leads to is unmounted.
            fs::remove_file(&target).unwrap();
            let news = follows.look(false).unwrap();
            let [(name, Some(why))] = &news.unseen[..] else { panic!("{news:?}") };
            assert!(name == "a" && why.contains(link), "{why}");
            for _ in 0..2 * limits::plugin::LOOKS_GONE {
                let news = follows.look(false).unwrap();
                assert!(news.gone.is_empty() && news.changed.is_empty() && news.unseen.is_empty(), "{news:?}");
            }
            assert!(follows.has("a"));
            // It is there again, and may be another one.
            fs::write(&target, "another").unwrap();
            let looks = [follows.look(false).unwrap(), follows.look(false).unwrap()];
            assert_eq!(looks[0].unseen, [("a".to_owned(), None)]);
            assert_eq!(looks.map(|news| news.changed).concat(), ["a"]);
            assert!(follows.look(false).unwrap().changed.is_empty());
            // What is taken away is gone, also while it could not be looked at.
            fs::remove_file(&target).unwrap();
            follows.look(false).unwrap();
            let _ = fs::remove_file(folder.path().join("a.yaml"));
            fs::remove_file(folder.path().join("a.wasm")).unwrap();
            let gone = (0..limits::plugin::LOOKS_GONE).map(|_| follows.look(false).unwrap().gone);
            assert_eq!(gone.collect::<Vec<_>>().concat(), ["a"]);
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a b.wasm", "-x.wasm", "ok-1.2_x.wasm", "note.txt", "LOUD.WASM", "._a.wasm"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let mut follows = Folder::new(folder.path().to_owned());
        let news = follows.look(true).unwrap();
        let unnamed = [("-x.wasm", BadName::Name), ("LOUD.WASM", BadName::Ending), ("a b.wasm", BadName::Name)];
        assert_eq!(news.changed, ["ok-1.2_x"]);
        assert_eq!(news.unnamed, unnamed.map(|(file, why)| (file.to_owned(), why)));
        assert!(follows.look(false).unwrap().unnamed.is_empty());
        assert_eq!(follows.unnamed().len(), 3);
        // Beside a plugin it may be meant as its settings; alone it may be anything.
        fs::write(folder.path().join("ok-1.2_x.yml"), "").unwrap();
        fs::write(folder.path().join("alone.yml"), "").unwrap();
        assert_eq!(follows.look(false).unwrap().unnamed, [("ok-1.2_x.yml".to_owned(), BadName::Sidecar)]);
        fs::remove_file(folder.path().join("ok-1.2_x.yml")).unwrap();
        fs::remove_file(folder.path().join("LOUD.WASM")).unwrap();
        follows.look(false).unwrap();
        assert_eq!(follows.unnamed().len(), 2);
    }
}
