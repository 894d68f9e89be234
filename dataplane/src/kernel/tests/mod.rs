// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the kernel object that need no kernel.

mod stack;
