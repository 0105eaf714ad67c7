//! Byte streams to wandisk at other sites: ssh and commands.
