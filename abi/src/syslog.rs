//! Actions of `syslog`. Source: Linux 6.1, `include/linux/syslog.h`.

constants! { u32:
    SYSLOG_ACTION_CLOSE = 0, "nothing";
    SYSLOG_ACTION_OPEN = 1, "nothing";
    SYSLOG_ACTION_READ = 2, "wait for records, and take them";
    SYSLOG_ACTION_READ_ALL = 3, "copy the last records";
    SYSLOG_ACTION_READ_CLEAR = 4, "copy the last records, and clear the log";
    SYSLOG_ACTION_CLEAR = 5, "clear the log";
    SYSLOG_ACTION_CONSOLE_OFF = 6, "let the console show the least";
    SYSLOG_ACTION_CONSOLE_ON = 7, "let it show what it did before";
    SYSLOG_ACTION_CONSOLE_LEVEL = 8, "set what it shows";
    SYSLOG_ACTION_SIZE_UNREAD = 9, "bytes that a reader would take";
    SYSLOG_ACTION_SIZE_BUFFER = 10, "bytes of the log's memory";
}
