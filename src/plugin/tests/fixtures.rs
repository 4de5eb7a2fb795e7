//! Plugins as text: a core module in WAT, made a component of the contract as the tools of plugin authors do it.
//!
//! No toolchain is needed for them, and every wrong thing a plugin can do is one line.

use wit_component::ComponentEncoder;
use wit_component::StringEncoding;
use wit_component::embed_component_metadata;
use wit_parser::Resolve;

/// The contract, as plugin authors get it.
pub(crate) const CONTRACT: &str = include_str!("../../../wit/0.1.0/plugin.wit");

/// The part of WASI that fixtures import.
const WASI: &str = include_str!("wasi.wit");

/// Answers: the verdict lies at 64, its texts and changes after 1024.
pub(crate) const PASS: &str = "(call $verdict (i32.const 0) (i32.const 0) (i32.const 0))";
pub(crate) const DROP: &str = "(call $verdict (i32.const 1) (i32.const 16) (i32.const 7))";
pub(crate) const HOLD: &str = "(call $verdict (i32.const 2) (i32.const 16) (i32.const 7))";
pub(crate) const TRAP: &str = "unreachable";
pub(crate) const LOOP: &str = "(loop (br 0)) unreachable";

/// Drops assets with the tag `private`.
pub(crate) const KEEP_PRIVATE: &str = "
    (if (result i32) (call $is_private (local.get $a))
      (then (call $verdict (i32.const 1) (i32.const 16) (i32.const 7)))
      (else (call $verdict (i32.const 0) (i32.const 0) (i32.const 0))))";

/// Holds assets with the tag `private`.
pub(crate) const HOLD_PRIVATE: &str = "
    (if (result i32) (call $is_private (local.get $a))
      (then (call $verdict (i32.const 2) (i32.const 16) (i32.const 7)))
      (else (call $verdict (i32.const 0) (i32.const 0) (i32.const 0))))";

/// Functions that drop an asset and give as the reason what lies in memory, so that a test sees it: `$tell` gives bytes as
/// a text, `$tell_hex` gives them as hexadecimal digits, which are written at 8192.
pub(crate) const TELL: &str = "
    (func $tell (param $at i32) (param $n i32) (result i32)
      (call $verdict (i32.const 1) (local.get $at) (local.get $n)))
    (func $digit (param $at i32) (param $digit i32)
      (i32.store8 (local.get $at)
        (i32.add (local.get $digit)
          (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10))))))
    (func $tell_hex (param $at i32) (param $n i32) (result i32) (local $i i32)
      (loop
        (call $digit (i32.add (i32.const 8192) (i32.shl (local.get $i) (i32.const 1)))
          (i32.shr_u (i32.load8_u (i32.add (local.get $at) (local.get $i))) (i32.const 4)))
        (call $digit (i32.add (i32.const 8193) (i32.shl (local.get $i) (i32.const 1)))
          (i32.and (i32.load8_u (i32.add (local.get $at) (local.get $i))) (i32.const 15)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $i) (local.get $n))))
      (call $tell (i32.const 8192) (i32.shl (local.get $n) (i32.const 1))))";

/// A plugin to be.
#[derive(Clone)]
pub(crate) struct Fixture {
    package: String,
    world: String,
    imports: String,
    functions: String,
    start: String,
    describe: String,
    configure: String,
    memory: String,
}

impl Fixture {
    /// Starts a plugin without a hook.
    pub(crate) fn new() -> Self {
        Self {
            package: CONTRACT.to_owned(),
            world: "export lifecycle;".to_owned(),
            imports: String::new(),
            functions: String::new(),
            start: String::new(),
            describe: "(i32.const 128)".to_owned(),
            configure: "(i32.store8 (i32.const 200) (i32.const 0)) (i32.const 200)".to_owned(),
            memory: "(memory (export \"memory\") 1)".to_owned(),
        }
    }

    /// Gives it a hook: `before-push`, `before-pull` or `after-receive`, with the body of its function. The local `$a`
    /// points at the asset.
    pub(crate) fn hook(mut self, hook: &str, body: &str) -> Self {
        self.world.push_str(&format!("export {hook};"));
        let name = format!("can-sync:plugin/{hook}@0.1.0#{hook}");
        self.functions.push_str(&format!(
            "(func (export \"{name}\") (param $a i32) (result i32) (local $i i32) {body})
             (func (export \"cabi_post_{name}\") (param i32) (global.set $bump (i32.const 65536)))"
        ));
        self
    }

    /// Gives it an import: the interface, the function, its name in the module, and its core type. An interface without a
    /// package is one of the contract, one of WASI has no version.
    pub(crate) fn import(mut self, interface: &str, function: &str, name: &str, shape: &str) -> Self {
        let wasi = interface.starts_with("wasi:").then(|| format!("{interface}@0.2.6"));
        let import = format!("import {};", wasi.as_deref().unwrap_or(interface));
        if !self.world.contains(&import) {
            self.world.push_str(&import);
        }
        let module = wasi.unwrap_or_else(|| format!("can-sync:plugin/{interface}@0.1.0"));
        self.imports.push_str(&format!("(import \"{module}\" \"{function}\" (func ${name} {shape}))"));
        self
    }

    /// Runs something when it is instantiated.
    pub(crate) fn start(mut self, body: &str) -> Self {
        self.start = format!("(func $start {body}) (start $start)");
        self
    }

    /// Runs something when it is configured, with the text at `$p`, `$n` bytes long.
    pub(crate) fn configure(mut self, body: &str) -> Self {
        body.clone_into(&mut self.configure);
        self
    }

    /// Runs something when it introduces itself.
    pub(crate) fn describe(mut self, body: &str) -> Self {
        body.clone_into(&mut self.describe);
        self
    }

    /// Has more functions.
    pub(crate) fn with(mut self, functions: &str) -> Self {
        self.functions.push_str(functions);
        self
    }

    /// Has another memory, in pages of 64 KiB.
    pub(crate) fn pages(mut self, pages: u32) -> Self {
        self.memory = format!("(memory (export \"memory\") {pages})");
        self
    }

    /// Speaks another version of the contract.
    pub(crate) fn version(mut self, version: &str) -> Self {
        self.package = self.package.replace("@0.1.0", &format!("@{version}"));
        self.functions = self.functions.replace("@0.1.0", &format!("@{version}"));
        self
    }

    /// The core module alone.
    pub(crate) fn module(&self) -> Vec<u8> {
        let Self { imports, functions, start, describe, configure, memory, package, .. } = self;
        let version = if package == CONTRACT { "0.1.0" } else { "9.0.0" };
        let text = format!(
            "(module
              {imports}
              {memory}
              (global $bump (mut i32) (i32.const 65536))
              (data (i32.const 16) \"private\") (data (i32.const 32) \"fixture\") (data (i32.const 48) \"1.2.3\")
              (data (i32.const 128) \"\\20\\00\\00\\00\\07\\00\\00\\00\\30\\00\\00\\00\\05\\00\\00\\00\\20\\00\\00\\00\\07\\00\\00\\00\\00\")
              (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (local $p i32)
                (local.set $p (i32.and (i32.add (global.get $bump) (i32.const 7)) (i32.const -8)))
                (global.set $bump (i32.add (local.get $p) (local.get 3)))
                (loop $more
                  (if (i32.gt_u (global.get $bump) (i32.mul (memory.size) (i32.const 65536)))
                    (then
                      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
                      (br $more))))
                (local.get $p))
              (func $verdict (param $kind i32) (param $at i32) (param $n i32) (result i32)
                (i32.store8 (i32.const 64) (local.get $kind))
                (i32.store (i32.const 68) (local.get $at))
                (i32.store (i32.const 72) (local.get $n))
                (i32.const 64))
              (func $is_private (param $a i32) (result i32) (local $at i32) (local $n i32)
                (local.set $at (i32.load offset=96 (local.get $a)))
                (local.set $n (i32.load offset=100 (local.get $a)))
                (loop $next
                  (if (i32.eqz (local.get $n)) (then (return (i32.const 0))))
                  (if (i32.eq (i32.load offset=4 (local.get $at)) (i32.const 7))
                    (then (if (i64.eq
                        (i64.and (i64.load (i32.load (local.get $at))) (i64.const 0xffffffffffffff))
                        (i64.and (i64.load (i32.const 16)) (i64.const 0xffffffffffffff)))
                      (then (return (i32.const 1))))))
                  (local.set $at (i32.add (local.get $at) (i32.const 8)))
                  (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                  (br $next))
                (i32.const 0))
              (func (export \"can-sync:plugin/lifecycle@{version}#describe\") (result i32) {describe})
              (func (export \"can-sync:plugin/lifecycle@{version}#configure\") (param $p i32) (param $n i32) (result i32)
                {configure})
              {start}
              {functions})"
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// The component.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        if self.world.contains("wasi:") {
            resolve.push_str("wasi.wit", WASI).unwrap();
        }
        let text = format!("{}\nworld fixture {{ {} }}", self.package, self.world);
        let package = resolve.push_str("plugin.wit", &text).unwrap();
        let world = resolve.select_world(&[package], Some("fixture")).unwrap();
        let mut module = self.module();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
    }
}

/// An edit of one change, which lies at 1024: its kind, and a text of `n` bytes at `at` (for `set` of the field).
pub(crate) fn edit(kind: u32, field: u32, at: u32, n: u32) -> String {
    let text = |offset: u32| {
        format!(
            "(i32.store (i32.const {}) (i32.const {at})) (i32.store (i32.const {}) (i32.const {n}))",
            1024 + offset,
            1028 + offset
        )
    };
    let field = format!("(i32.store8 (i32.const 1028) (i32.const {field}))");
    let change = match kind {
        0 => field + &text(8),
        1 => field,
        _ => text(4),
    };
    format!(
        "(i32.store8 (i32.const 1024) (i32.const {kind})) {change}
         (call $verdict (i32.const 3) (i32.const 1024) (i32.const 1))"
    )
}
