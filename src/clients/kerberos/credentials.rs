//! Tickets of MIT's library: how they are acquired, and for how long they are valid.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::mem::MaybeUninit;
use std::ptr;

use crate::clients::kerberos::krb5::{Cache, Krb5, Opaque, text};

/// When a ticket was issued and when it ends; seconds since 1970, by the clock of the KDC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TicketTimes {
    /// When its owner logged in at the KDC.
    pub issued: i64,
    pub until: i64,
    /// Until when it can be renewed; [`None`] if it can't be.
    pub renewable_until: Option<i64>,
}

/// The library's structure of credentials (krb5.h), whose layout is part of its ABI.
#[repr(C)]
struct Credentials {
    magic: i32,
    client: Opaque,
    server: Opaque,
    key: Key,
    times: Times,
    is_session_key: c_uint,
    flags: i32,
    addresses: Opaque,
    ticket: Data,
    second_ticket: Data,
    authorization: Opaque,
}

#[repr(C)]
struct Key {
    magic: i32,
    kind: i32,
    length: c_uint,
    contents: Opaque,
}

/// Seconds since 1970, which the library takes as unsigned, so that they go beyond 2038.
#[repr(C)]
struct Times {
    issued: u32,
    starts: u32,
    until: u32,
    renewable_until: u32,
}

#[repr(C)]
struct Data {
    magic: i32,
    length: c_uint,
    data: *mut c_char,
}

impl Credentials {
    /// None: every pointer is null.
    fn none() -> Credentials {
        // SAFETY: integers and pointers, of which all bits may be zero.
        unsafe { MaybeUninit::zeroed().assume_init() }
    }

    fn times(&self) -> TicketTimes {
        /// TKT_FLG_RENEWABLE
        const RENEWABLE: i32 = 0x0080_0000;
        let times = &self.times;
        let renewable = self.flags & RENEWABLE != 0;
        TicketTimes {
            issued: times.issued.into(),
            until: times.until.into(),
            renewable_until: renewable.then(|| times.renewable_until.into()),
        }
    }
}

impl Krb5 {
    /// Logs in at the KDC with the key of a principal, and keeps no ticket. Blocks for as long as
    /// the library waits for the KDC, which may be a minute.
    pub(super) fn log_in(&self, keytab: &str, principal: &str) -> Result<TicketTimes, String> {
        type Resolve = unsafe extern "C" fn(Opaque, *const c_char, *mut Opaque) -> i32;
        type Close = unsafe extern "C" fn(Opaque, Opaque) -> i32;
        type LogIn = unsafe extern "C" fn(
            Opaque,
            *mut Credentials,
            Opaque,
            Opaque,
            i32,
            *const c_char,
            Opaque,
        ) -> i32;
        let (principal, name) = (self.principal(principal)?, text(&format!("FILE:{keytab}"))?);
        let (mut table, mut found) = (ptr::null_mut(), Credentials::none());
        // SAFETY: the types are those of krb5.h; what is opened and filled here is closed and freed
        // here, once. Null: the ticket is for the realm's KDC, with the lifetimes of krb5.conf.
        unsafe {
            let resolve = self.function::<Resolve>(c"krb5_kt_resolve")?;
            let log_in = self.function::<LogIn>(c"krb5_get_init_creds_keytab")?;
            let close = self.function::<Close>(c"krb5_kt_close")?;
            self.told(resolve(self.context(), name.as_ptr(), &raw mut table))?;
            let (to, none) = (&raw mut found, ptr::null());
            let code = log_in(self.context(), to, principal.raw(), table, 0, none, ptr::null_mut());
            let done = self.told(code).map(|()| found.times());
            let _ = close(self.context(), table);
            if done.is_ok() {
                self.free(&mut found)?;
            }
            done
        }
    }

    /// # Safety
    /// `credentials` were filled by the library, and are not used after this.
    unsafe fn free(&self, credentials: &mut Credentials) -> Result<(), String> {
        type Free = unsafe extern "C" fn(Opaque, *mut Credentials);
        // SAFETY: per this function's contract; the type is that of krb5.h.
        unsafe {
            let free = self.function::<Free>(c"krb5_free_cred_contents")?;
            free(self.context(), credentials);
        }
        Ok(())
    }
}

impl Cache<'_> {
    /// The times of the ticket that all other tickets of this cache are acquired with; [`None`] if
    /// it is not there.
    pub(super) fn ticket(&self) -> Result<Option<TicketTimes>, String> {
        type Start = unsafe extern "C" fn(Opaque, Opaque, *mut Opaque) -> i32;
        type Next = unsafe extern "C" fn(Opaque, Opaque, *mut Opaque, *mut Credentials) -> i32;
        let (krb5, mut cursor) = (self.krb5(), ptr::null_mut());
        let mut newest: Option<TicketTimes> = None;
        // SAFETY: the types are those of krb5.h. The cursor is ended once, and each of the
        // credentials is freed before the next one is read.
        unsafe {
            let start = krb5.function::<Start>(c"krb5_cc_start_seq_get")?;
            let next = krb5.function::<Next>(c"krb5_cc_next_cred")?;
            let end = krb5.function::<Start>(c"krb5_cc_end_seq_get")?;
            krb5.told(start(krb5.context(), self.raw(), &raw mut cursor))?;
            let mut found = Credentials::none();
            while next(krb5.context(), self.raw(), &raw mut cursor, &raw mut found) == 0 {
                let times = found.times();
                let is_first = self.is_of_the_kdc(&found);
                if is_first && newest.is_none_or(|newest| newest.until < times.until) {
                    newest = Some(times);
                }
                krb5.free(&mut found)?;
                found = Credentials::none();
            }
            let _ = end(krb5.context(), self.raw(), &raw mut cursor);
        }
        Ok(newest)
    }

    /// Asks the KDC for a ticket of a service, which is not kept, with the ticket of this cache.
    /// Blocks as [`Krb5::log_in`] does.
    pub(super) fn ask_for(&self, service: &str) -> Result<(), String> {
        type Get = unsafe extern "C" fn(
            Opaque,
            c_uint,
            Opaque,
            *mut Credentials,
            *mut *mut Credentials,
        ) -> i32;
        type Free = unsafe extern "C" fn(Opaque, *mut Credentials);
        /// KRB5_GC_NO_STORE
        const NOT_KEPT: c_uint = 8;
        let krb5 = self.krb5();
        let client = krb5.principal(&self.principal()?)?;
        let service = krb5.principal(service)?;
        let mut wanted = Credentials::none();
        (wanted.client, wanted.server) = (client.raw(), service.raw());
        let mut given = ptr::null_mut();
        // SAFETY: the types are those of krb5.h. The principals outlive the call; what the library
        // gives is freed once.
        unsafe {
            let get = krb5.function::<Get>(c"krb5_get_credentials")?;
            let free = krb5.function::<Free>(c"krb5_free_creds")?;
            let (of, to) = (&raw mut wanted, &raw mut given);
            let code = get(krb5.context(), NOT_KEPT, self.raw(), of, to);
            if !given.is_null() {
                free(krb5.context(), given);
            }
            krb5.told(code)
        }
    }

    /// Whether these are for the KDC itself.
    ///
    /// # Safety
    /// `credentials` were filled by the library.
    unsafe fn is_of_the_kdc(&self, credentials: &Credentials) -> bool {
        type Unparse = unsafe extern "C" fn(Opaque, Opaque, *mut *mut c_char) -> c_int;
        type Free = unsafe extern "C" fn(Opaque, *mut c_char);
        let (krb5, mut name) = (self.krb5(), ptr::null_mut());
        // SAFETY: the types are those of krb5.h; the name is freed after it was looked at.
        unsafe {
            let (Ok(unparse), Ok(free)) = (
                krb5.function::<Unparse>(c"krb5_unparse_name"),
                krb5.function::<Free>(c"krb5_free_unparsed_name"),
            ) else {
                return false;
            };
            if unparse(krb5.context(), credentials.server, &raw mut name) != 0 {
                return false;
            }
            let is_it = CStr::from_ptr(name).to_bytes().starts_with(b"krbtgt/");
            free(krb5.context(), name);
            is_it
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    /// As krb5.h has it on machines of 64 bits.
    #[test]
    fn the_structure_is_that_of_the_library() {
        assert_eq!(offset_of!(Credentials, times), 48);
        assert_eq!(offset_of!(Credentials, flags), 68);
        assert_eq!(offset_of!(Credentials, ticket), 80);
        assert_eq!(size_of::<Credentials>(), 120);
    }

    #[test]
    fn a_ticket_that_cannot_be_renewed_has_no_such_time() {
        let mut credentials = Credentials::none();
        credentials.times = Times { issued: 1, starts: 1, until: 2, renewable_until: 3 };
        assert_eq!(credentials.times().renewable_until, None);
        credentials.flags = 0x0080_0000;
        credentials.times.until = 0x8000_0000;
        let times = credentials.times();
        assert_eq!((times.until, times.renewable_until), (1 << 31, Some(3)));
    }
}
