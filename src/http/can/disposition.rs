//! The `Content-Disposition` of an asset, safe for any file name.

use axum::http::HeaderValue;

/// Longest name that goes into the header, in characters; what is longer is cut at its front, so that the ending stays.
const NAME_CHARS: usize = 200;

/// Says under which name a content is to be shown or saved.
///
/// A name is data: separators, control characters and quotes are replaced in the plain form and escaped in the other,
/// so that it can neither end the header nor leave the folder it is saved in.
pub(super) fn inline(file_name: Option<&str>) -> HeaderValue {
    let name = file_name.map(harmless).filter(|name| !name.is_empty());
    let Some(name) = name else { return HeaderValue::from_static("inline") };
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '%') || c == ' ' { c } else { '_' })
        .collect();
    let mut escaped = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(['%'].into_iter().chain(data_encoding::HEXUPPER.encode(&[byte]).chars()));
        }
    }
    HeaderValue::try_from(format!("inline; filename=\"{plain}\"; filename*=UTF-8''{escaped}"))
        .unwrap_or(HeaderValue::from_static("inline"))
}

/// Returns the last part of a name, without what a file system or a terminal would take for more than a name.
fn harmless(name: &str) -> String {
    let name: Vec<char> =
        name.chars().map(|c| if c.is_control() || matches!(c, '/' | '\\' | ':') { '_' } else { c }).collect();
    let name: String = name[name.len().saturating_sub(NAME_CHARS)..].iter().collect();
    name.trim_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_quoted_and_escaped() {
        for (name, header) in [
            (None, "inline"),
            (Some(""), "inline"),
            (Some(".."), "inline"),
            (Some("a b.txt"), r#"inline; filename="a b.txt"; filename*=UTF-8''a%20b.txt"#),
            (Some("../../etc/passwd"), r#"inline; filename="_.._etc_passwd"; filename*=UTF-8''_.._etc_passwd"#),
            (Some("é\"\r\nX: y"), r#"inline; filename="____X_ y"; filename*=UTF-8''%C3%A9%22__X_%20y"#),
        ] {
            assert_eq!(inline(name), header, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn any_name_makes_one_header_line(name in any::<String>()) {
            let header = inline(Some(&name));
            let header = header.to_str().unwrap();
            prop_assert!(!header.contains(['\r', '\n', '/', '\\', '\0']));
            prop_assert!(header.matches('"').count() == 2 || header == "inline");
        }
    }
}
