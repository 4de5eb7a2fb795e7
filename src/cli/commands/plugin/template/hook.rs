//! The hooks, as every language spells them.

use clap::ValueEnum;

/// Where a plugin can be asked, in the order in which an asset meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(in crate::cli::commands::plugin) enum Hook {
    BeforePush,
    BeforePull,
    AfterReceive,
}

impl Hook {
    /// As the contract, Rust, JavaScript and Rust's and Python's types spell it.
    const fn spellings(self) -> [&'static str; 4] {
        match self {
            Self::BeforePush => ["before-push", "before_push", "beforePush", "BeforePush"],
            Self::BeforePull => ["before-pull", "before_pull", "beforePull", "BeforePull"],
            Self::AfterReceive => ["after-receive", "after_receive", "afterReceive", "AfterReceive"],
        }
    }

    pub(super) const fn kebab(self) -> &'static str {
        self.spellings()[0]
    }

    pub(super) const fn snake(self) -> &'static str {
        self.spellings()[1]
    }

    #[cfg(test)]
    pub(super) const fn camel(self) -> &'static str {
        self.spellings()[2]
    }

    pub(super) const fn pascal(self) -> &'static str {
        self.spellings()[3]
    }
}

/// Puts one hook in the place of another, in whatever spelling.
pub(super) fn renamed(source: &str, from: Hook, to: Hook) -> String {
    from.spellings().into_iter().zip(to.spellings()).fold(source.to_owned(), |text, (from, to)| text.replace(from, to))
}
