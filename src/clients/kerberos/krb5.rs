//! MIT's library of Kerberos, as far as an identity needs it. It is loaded where it is asked for,
//! as the client of HDFS and the SASL library do, so a host without Kerberos needs no package.
//! Crates with these calls link the library, and need its headers and libclang to build.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_uint, c_void};
use std::ptr;

use libloading::Library;

/// A pointer to something that only the library looks into.
pub(super) type Opaque = *mut c_void;

/// The name that Debian and Red Hat have it under.
const FILE: &str = "libkrb5.so.3";

/// Larger than the library's structure of a key table's entry, which has 40 bytes or so.
type Entry = [u64; 32];

/// The library, and a context of its calls.
pub struct Krb5 {
    library: Library,
    context: Opaque,
}

/// A principal of the library.
pub(super) struct Principal<'a> {
    krb5: &'a Krb5,
    raw: Opaque,
}

/// A credential cache of the library.
pub struct Cache<'a> {
    krb5: &'a Krb5,
    raw: Opaque,
}

/// Sets a variable of this process, for libraries in C. To be called by a command before any other
/// thread of the process has work: a thread that reads the environment meanwhile may read what is
/// freed.
#[expect(
    clippy::disallowed_methods,
    reason = "the SASL library does not take an identity, and GSSAPI reads it here"
)]
pub fn set_variable(name: &str, value: Option<&OsStr>) {
    // SAFETY: no other thread uses the environment, as is said above.
    unsafe {
        match value {
            Some(value) => std::env::set_var(name, value),
            None => std::env::remove_var(name),
        }
    }
}

impl Krb5 {
    /// Loads the library.
    ///
    /// # Errors
    /// It is not installed.
    pub fn load() -> Result<Krb5, String> {
        // SAFETY: loading it runs initializers of libkrb5, which have no preconditions.
        let library = unsafe { Library::new(FILE) }.map_err(|e| {
            format!(
                "{FILE} can't be loaded ({e}): install the package libgssapi-krb5-2 (Debian) or \
                     krb5-libs"
            )
        })?;
        let mut krb5 = Krb5 { library, context: ptr::null_mut() };
        let mut context = ptr::null_mut();
        type Init = unsafe extern "C" fn(*mut Opaque) -> i32;
        // SAFETY: the type is that of krb5.h; the context is freed when it is dropped.
        let code = unsafe { krb5.function::<Init>(c"krb5_init_context")?(&raw mut context) };
        krb5.context = context;
        krb5.told(code)?;
        Ok(krb5)
    }

    pub(super) fn context(&self) -> Opaque {
        self.context
    }

    /// A function of the library.
    ///
    /// # Safety
    /// `F` is the function's type.
    pub(super) unsafe fn function<F: Copy>(&self, name: &CStr) -> Result<F, String> {
        // SAFETY: per this function's contract. The library is never unloaded: see `drop`.
        let found = unsafe { self.library.get::<F>(name.to_bytes_with_nul()) };
        found.map(|f| *f).map_err(|e| format!("{FILE}: {e}"))
    }

    /// What a code means.
    pub(super) fn told(&self, code: i32) -> Result<(), String> {
        type Message = unsafe extern "C" fn(Opaque, i32) -> *const c_char;
        type Free = unsafe extern "C" fn(Opaque, *const c_char);
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the types are those of krb5.h, which takes a context that is null, too; the text
        // is copied before it is freed.
        unsafe {
            let text = self.function::<Message>(c"krb5_get_error_message")?(self.context, code);
            let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
            self.function::<Free>(c"krb5_free_error_message")?(self.context, text);
            Err(copy)
        }
    }

    pub(super) fn principal(&self, name: &str) -> Result<Principal<'_>, String> {
        type Parse = unsafe extern "C" fn(Opaque, *const c_char, *mut Opaque) -> i32;
        let (name, mut raw) = (text(name)?, ptr::null_mut());
        // SAFETY: the type is that of krb5.h, and the context is valid.
        let parse = unsafe { self.function::<Parse>(c"krb5_parse_name")? };
        // SAFETY: the name ends with a NUL.
        self.told(unsafe { parse(self.context, name.as_ptr(), &raw mut raw) })?;
        Ok(Principal { krb5: self, raw })
    }

    /// Finds a key of a principal in a key table.
    ///
    /// # Errors
    /// There is none.
    pub fn find_key(&self, keytab: &str, principal: &str) -> Result<(), String> {
        type Resolve = unsafe extern "C" fn(Opaque, *const c_char, *mut Opaque) -> i32;
        type Get = unsafe extern "C" fn(Opaque, Opaque, Opaque, c_uint, c_int, *mut Entry) -> i32;
        type FreeEntry = unsafe extern "C" fn(Opaque, *mut Entry) -> i32;
        type Close = unsafe extern "C" fn(Opaque, Opaque) -> i32;
        let (principal, name) = (self.principal(principal)?, text(&format!("FILE:{keytab}"))?);
        let (mut table, mut entry): (Opaque, Entry) = (ptr::null_mut(), [0; 32]);
        // SAFETY: the types are those of krb5.h, and pointers to an entry that is larger than the
        // library's; what is opened and filled here is closed and freed here, once.
        unsafe {
            let resolve = self.function::<Resolve>(c"krb5_kt_resolve")?;
            self.told(resolve(self.context, name.as_ptr(), &raw mut table))?;
            let get = self.function::<Get>(c"krb5_kt_get_entry")?;
            let found = get(self.context, table, principal.raw, 0, 0, &raw mut entry);
            let found = self.told(found);
            if found.is_ok() {
                let free = self.function::<FreeEntry>(c"krb5_free_keytab_entry_contents")?;
                let _ = free(self.context, &raw mut entry);
            }
            let _ = self.function::<Close>(c"krb5_kt_close")?(self.context, table);
            found
        }
    }

    /// The cache of this name, which need not exist.
    ///
    /// # Errors
    /// It is no name of a cache.
    pub fn cache(&self, name: &str) -> Result<Cache<'_>, String> {
        type Resolve = unsafe extern "C" fn(Opaque, *const c_char, *mut Opaque) -> i32;
        let (name, mut raw) = (text(name)?, ptr::null_mut());
        // SAFETY: the type is that of krb5.h, the context is valid, and the name ends with a NUL.
        let code = unsafe {
            self.function::<Resolve>(c"krb5_cc_resolve")?(self.context, name.as_ptr(), &raw mut raw)
        };
        self.told(code)?;
        Ok(Cache { krb5: self, raw })
    }

    /// The cache of this environment.
    ///
    /// # Errors
    /// The library has none, or its name is not one of a cache.
    pub fn default_cache(&self) -> Result<Cache<'_>, String> {
        type Default = unsafe extern "C" fn(Opaque, *mut Opaque) -> i32;
        let mut raw = ptr::null_mut();
        // SAFETY: the type is that of krb5.h, and the context is valid.
        let code =
            unsafe { self.function::<Default>(c"krb5_cc_default")?(self.context, &raw mut raw) };
        self.told(code)?;
        Ok(Cache { krb5: self, raw })
    }
}

impl Principal<'_> {
    pub(super) fn raw(&self) -> Opaque {
        self.raw
    }
}

impl<'a> Cache<'a> {
    pub(super) fn krb5(&self) -> &'a Krb5 {
        self.krb5
    }

    pub(super) fn raw(&self) -> Opaque {
        self.raw
    }

    /// Whose tickets it has or may have: its principal.
    ///
    /// # Errors
    /// It does not exist.
    pub fn principal(&self) -> Result<String, String> {
        type Get = unsafe extern "C" fn(Opaque, Opaque, *mut Opaque) -> i32;
        type Unparse = unsafe extern "C" fn(Opaque, Opaque, *mut *mut c_char) -> i32;
        type Free = unsafe extern "C" fn(Opaque, *mut c_char);
        let (krb5, mut raw, mut name) = (self.krb5, ptr::null_mut(), ptr::null_mut());
        // SAFETY: the types are those of krb5.h; the name is copied before it is freed, and the
        // principal is freed when it is dropped.
        unsafe {
            let get = krb5.function::<Get>(c"krb5_cc_get_principal")?;
            krb5.told(get(krb5.context, self.raw, &raw mut raw))?;
            let principal = Principal { krb5, raw };
            let unparse = krb5.function::<Unparse>(c"krb5_unparse_name")?;
            krb5.told(unparse(krb5.context, principal.raw, &raw mut name))?;
            let copy = CStr::from_ptr(name).to_string_lossy().into_owned();
            krb5.function::<Free>(c"krb5_free_unparsed_name")?(krb5.context, name);
            Ok(copy)
        }
    }

    /// Empties it for the tickets of this principal, unless it is for this principal already.
    ///
    /// # Errors
    /// It can't be written.
    pub fn be_of(&self, principal: &str) -> Result<(), String> {
        type Initialize = unsafe extern "C" fn(Opaque, Opaque, Opaque) -> i32;
        type Unparsed = Result<String, String>;
        let krb5 = self.krb5;
        let wanted = krb5.principal(principal)?;
        let is_of: Unparsed = self.principal();
        if is_of.is_ok_and(|name| name == principal) {
            return Ok(());
        }
        // SAFETY: the type is that of krb5.h, and the cache and the principal are valid.
        let code = unsafe {
            krb5.function::<Initialize>(c"krb5_cc_initialize")?(krb5.context, self.raw, wanted.raw)
        };
        krb5.told(code)
    }
}

/// A name as the library takes it.
pub(super) fn text(name: &str) -> Result<CString, String> {
    CString::new(name).map_err(|_| format!("{name:?} contains a NUL"))
}

impl Drop for Principal<'_> {
    fn drop(&mut self) {
        type Free = unsafe extern "C" fn(Opaque, Opaque);
        // SAFETY: the type is that of krb5.h; the principal is freed once, and it is valid.
        unsafe {
            if let Ok(free) = self.krb5.function::<Free>(c"krb5_free_principal") {
                free(self.krb5.context, self.raw);
            }
        }
    }
}

impl Drop for Cache<'_> {
    fn drop(&mut self) {
        type Close = unsafe extern "C" fn(Opaque, Opaque) -> i32;
        // SAFETY: the type is that of krb5.h; the handle is closed once, and what it names stays.
        unsafe {
            if let Ok(close) = self.krb5.function::<Close>(c"krb5_cc_close") {
                let _ = close(self.krb5.context, self.raw);
            }
        }
    }
}

impl Drop for Krb5 {
    fn drop(&mut self) {
        type Free = unsafe extern "C" fn(Opaque);
        // SAFETY: the type is that of krb5.h; the context is freed once. Caches in memory are the
        // library's, so it must stay: it is opened again, and that handle is never closed.
        unsafe {
            if let (false, Ok(free)) =
                (self.context.is_null(), self.function::<Free>(c"krb5_free_context"))
            {
                free(self.context);
            }
            if let Ok(again) = Library::new(FILE) {
                std::mem::forget(again);
            }
        }
    }
}
