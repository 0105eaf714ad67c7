//! One disk's durable state: data.img and the SQLite chunk table.
