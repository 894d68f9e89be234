// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bodies of answers.

use std::io;

use futures::Stream;
use futures::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;

/// The body of every answer; an error in it breaks the connection.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Frames are filled up to this size: one chunk per object would be mostly framing.
const FRAME: usize = 64 * 1024;

/// An answer with a JSON body.
pub(super) fn json(code: u16, value: &Value) -> Response<Body> {
    whole(code, value.to_string().into())
}

/// An answer whose JSON body is at hand.
pub(super) fn whole(code: u16, bytes: Bytes) -> Response<Body> {
    respond(
        code,
        Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
    )
}

/// An answer whose JSON body comes in frames.
pub(super) fn streamed(
    frames: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
) -> Response<Body> {
    respond(
        200,
        StreamBody::new(frames.map(|frame| frame.map(Frame::data))).boxed_unsync(),
    )
}

/// Gathers small pieces into frames.
#[derive(Default)]
pub(super) struct Frames {
    full: Vec<Bytes>,
    open: Vec<u8>,
}

impl Frames {
    /// Appends a piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.open.extend_from_slice(piece);
        if self.open.len() >= FRAME {
            self.full.push(std::mem::take(&mut self.open).into());
        }
    }

    /// The frames so far.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.full.push(std::mem::take(&mut self.open).into());
        }
        std::mem::take(&mut self.full)
    }
}

fn respond(code: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
