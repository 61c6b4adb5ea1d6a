//! What of the floor `outside` reads files of other programs.

pub mod web {
    #[path = "../../../../src/outside/web/file.rs"]
    mod file;

    pub(crate) use file::WebFile;
}

pub mod cli {
    pub mod init {
        #[path = "../../../../../src/outside/cli/init/connect.rs"]
        pub(crate) mod connect;
        #[path = "../../../../../src/outside/cli/init/draft.rs"]
        pub(crate) mod draft;
        #[path = "../../../../../src/outside/cli/init/errors.rs"]
        pub(crate) mod errors;
    }

    pub(crate) use init::connect::Sink;
}
