// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be tested of the kernel object without a kernel.

mod stack;
