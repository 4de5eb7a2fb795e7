//! Where assets lie.

use crate::matches_glob;
use crate::text::folded;
use crate::text::trimmed;

/// A logical folder, read once to be compared with many [places](Place).
#[derive(Debug, Clone)]
pub struct Folder(Vec<String>);

impl Folder {
    /// Reads the path of an asset.
    #[must_use]
    pub fn of(path: &str) -> Self {
        Self(forms(path).into_iter().map(|form| form + "/").collect())
    }
}

/// Folders as a user names them: one with all below it, or with `*`, `**` or `?` a [pattern](matches_glob) of the whole
/// path.
///
/// Case, composition and spaces do not matter, as in [`folded`], and `/Work\Secret/./x/` is `work/secret/x`. A path with
/// `..` is where it leads, and what it says as well.
#[derive(Debug, Clone)]
pub struct Place {
    forms: Vec<String>,
    pattern: bool,
}

impl Place {
    /// Reads a place; `None` when it names no folder.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut forms = forms(text);
        forms.retain(|form| !form.is_empty());
        let pattern = text.contains(['*', '?']);
        if !pattern {
            // So that `work` is not the beginning of `works`.
            for form in &mut forms {
                form.push('/');
            }
        }
        if forms.is_empty() { None } else { Some(Self { forms, pattern }) }
    }

    /// Says whether a folder is here.
    #[must_use]
    pub fn covers(&self, folder: &Folder) -> bool {
        let here = |place: &str, path: &str| {
            if self.pattern {
                // With a slash behind it, a folder is among what `drafts/**` says is in it.
                matches_glob(place, path) || matches_glob(place, &path[..path.len() - 1])
            } else {
                path.starts_with(place)
            }
        };
        folder.0.iter().any(|path| self.forms.iter().any(|place| here(place, path)))
    }
}

/// Brings a path into the form in which paths are compared; one with `..` into two, as nobody knows how it is read.
fn forms(path: &str) -> Vec<String> {
    let path = folded(path);
    let steps: Vec<&str> = path.split(['/', '\\']).map(trimmed).filter(|step| !matches!(*step, "" | ".")).collect();
    let mut forms = vec![steps.join("/")];
    if steps.contains(&"..") {
        let mut led: Vec<&str> = Vec::new();
        for step in steps {
            if step == ".." {
                led.pop();
            } else {
                led.push(step);
            }
        }
        forms.push(led.join("/"));
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_cover_what_they_say() {
        for (place, path, covers) in [
            ("work/secret", "work/secret", true),
            ("work/secret", "/Work\\Secret/", true),
            ("work/secret", "work//./secret /x", true),
            ("work/secret", "work/secrets", false),
            ("work/secret", "work", false),
            ("work/secret", "", false),
            ("work\\secret", "work/secret", true),
            ("work/secret", "work/x/../secret", true),
            ("work/x", "work/x/../secret", true),
            ("work/x/../secret", "work/secret", true),
            ("work/..", "work", false),
            ("secret", "../secret", true),
            ("Büro", "bu\u{308}ro/x", true),
            ("work/secret/**", "work/secret", true),
            ("work/secret/**", "work/secret/a/b", true),
            ("work/secret/**", "work/secrets", false),
            ("**/drafts/**", "drafts", true),
            ("**/drafts/**", "work/drafts", true),
            ("**/drafts/**", "work/mydrafts", false),
            ("drafts/*", "drafts", true),
            ("drafts/?", "drafts", false),
            ("*/drafts", "work/drafts", true),
            ("*/drafts", "work/2024/drafts", false),
            ("*/drafts", "work/drafts/a", false),
            ("/Work\\*/", "work/a", true),
            ("**", "", true),
        ] {
            let covered = Place::new(place).unwrap().covers(&Folder::of(path));
            assert_eq!(covered, covers, "{place:?} and {path:?}");
        }
    }

    #[test]
    fn no_folder_is_no_place() {
        for text in ["", " ", "/", "\\", "./", " / "] {
            assert!(Place::new(text).is_none(), "{text:?}");
        }
    }
}
