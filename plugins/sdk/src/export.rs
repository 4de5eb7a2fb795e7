//! Makes a component of a plugin.

use crate::Asset;
use crate::Context;
use crate::Plugin;
use crate::Verdict;

/// A place where plugins are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before a version is shared.
    BeforePush,
    /// Before an offered asset is fetched.
    BeforePull,
    /// Before a received asset is stored.
    AfterReceive,
}

impl Hook {
    /// Returns its name, as in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforePush => "before-push",
            Self::BeforePull => "before-pull",
            Self::AfterReceive => "after-receive",
        }
    }

    /// Returns the hook of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::BeforePush, Self::BeforePull, Self::AfterReceive].into_iter().find(|hook| hook.name() == name)
    }
}

/// A plugin and the hooks it exports. [`crate::export!`] implements it.
pub trait Exported: Plugin {
    /// The hooks it exports.
    const HOOKS: &'static [Hook];

    /// Asks one of them; `None` when it is not exported.
    fn ask(&self, hook: Hook, asset: &Asset, context: &Context) -> Option<Verdict>;
}

/// Makes a component of a plugin, with the hooks that are named: `export!(KeepPrivate: before_push, before_pull);`, once
/// per crate. The type implements [`Plugin`] and the trait of each hook.
#[macro_export]
macro_rules! export {
    ($plugin:ty: $($hook:ident),+ $(,)?) => {
        impl $crate::Exported for $plugin {
            const HOOKS: &'static [$crate::Hook] = &[$($crate::__hook!($hook)),+];

            fn ask(
                &self,
                hook: $crate::Hook,
                asset: &$crate::Asset,
                context: &$crate::Context,
            ) -> ::core::option::Option<$crate::Verdict> {
                $(
                    if hook == $crate::__hook!($hook) {
                        return ::core::option::Option::Some($crate::__ask!($hook, self, asset, context));
                    }
                )+
                ::core::option::Option::None
            }
        }

        // Outside of a component nobody makes the plugin but its tests; this keeps the compiler from calling it unused.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn(&str) -> ::core::result::Result<$plugin, ::std::string::String> =
            $crate::testing::configured::<$plugin>;

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, clippy::all, clippy::pedantic)]
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: $crate::component::Slot<$plugin> = const { $crate::component::Slot::new() };
            }

            struct Component;

            $crate::__export_lifecycle!(Component, PLUGIN, $plugin);
            $($crate::__export_hook!($hook, Component, PLUGIN);)+
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __hook {
    (before_push) => {
        $crate::Hook::BeforePush
    };
    (before_pull) => {
        $crate::Hook::BeforePull
    };
    (after_receive) => {
        $crate::Hook::AfterReceive
    };
    ($other:ident) => {
        ::core::compile_error!("the hooks are before_push, before_pull and after_receive")
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __ask {
    (before_push, $plugin:expr, $asset:expr, $context:expr) => {
        $crate::BeforePush::before_push($plugin, $asset, $context)
    };
    (before_pull, $plugin:expr, $asset:expr, $context:expr) => {
        $crate::BeforePull::before_pull($plugin, $asset, $context)
    };
    (after_receive, $plugin:expr, $asset:expr, $context:expr) => {
        $crate::AfterReceive::after_receive($plugin, $asset, $context)
    };
    ($other:ident, $plugin:expr, $asset:expr, $context:expr) => {
        $crate::Verdict::Pass
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_lifecycle {
    ($component:ident, $slot:ident, $plugin:ty) => {
        impl $crate::component::lifecycle::exports::can_sync::plugin::lifecycle::Guest for $component {
            fn describe() -> $crate::component::lifecycle::exports::can_sync::plugin::lifecycle::Description {
                $crate::component::describe::<$plugin>()
            }

            fn configure(
                json: ::std::string::String,
            ) -> ::core::result::Result<(), ::std::string::String> {
                $slot.with(|slot| slot.configure(&json))
            }
        }

        $crate::component::lifecycle::export!($component with_types_in $crate::component::lifecycle);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    (before_push, $component:ident, $slot:ident) => {
        $crate::__export_hook!(before_push, BeforePush, $component, $slot);
    };
    (before_pull, $component:ident, $slot:ident) => {
        $crate::__export_hook!(before_pull, BeforePull, $component, $slot);
    };
    (after_receive, $component:ident, $slot:ident) => {
        $crate::__export_hook!(after_receive, AfterReceive, $component, $slot);
    };
    ($hook:ident, $name:ident, $component:ident, $slot:ident) => {
        impl $crate::component::$hook::exports::can_sync::plugin::$hook::Guest for $component {
            fn $hook(
                asset: $crate::component::types::Asset,
                context: $crate::component::types::Context,
            ) -> $crate::component::types::Verdict {
                $slot.with(|slot| slot.ask($crate::Hook::$name, asset, context))
            }
        }

        $crate::component::$hook::export!($component with_types_in $crate::component::$hook);
    };
}
