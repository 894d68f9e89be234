// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a packet costs and what a change costs, measured side by side.
//!
//! ```text
//! packet    one program run on one packet, by the kernel itself (BPF_PROG_TEST_RUN)
//! datapath  packets, requests and connections through nodes made of namespaces
//! control   the agent against an API server: lists, changes, memory
//! ```
//!
//! Whatever is compared is measured in turns (A B C, A B C, ...), so that a machine that slows down
//! slows all of them down; what is told is the median of the turns, with the quartiles as its spread.
//! There is no threshold anywhere: a number is for reading, and a ratio holds for the machine it was
//! taken on.

pub mod control;
pub mod datapath;
pub mod kube_proxy;
pub mod machine;
pub mod packet;
pub mod plan;
pub mod raw;
pub mod report;
pub mod series;
