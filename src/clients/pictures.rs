//! Pictures: how long they may be, and how many may be in memory at once.

use super::access::{Client, Held};
use crate::api::Problem;
use crate::domain::element::{Element, Elements};
use axum::extract::OptionalFromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use std::convert::Infallible;

/// Refuses a picture that is longer than may be.
pub(super) fn check(elements: &Elements, most: usize) -> Result<(), Problem> {
    let Elements { face_image, id_card_image, .. } = elements;
    for (element, image) in
        [(Element::FaceImage, face_image), (Element::IdCardImage, id_card_image)]
    {
        if image.as_ref().is_some_and(|image| image.chars() > most) {
            let detail = format!("a picture has at most {most} characters of base64");
            let problem = Problem::said(StatusCode::UNPROCESSABLE_ENTITY, detail);
            return Err(problem.of_field(element.as_str()));
        }
    }
    Ok(())
}

/// Whether a client says that it sends a picture, as it may: more than `most` bytes. Who does not say how much it is sends none.
pub(super) fn is_sent(client: &Client, headers: &HeaderMap, most: usize) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let is_long = length.and_then(|text| text.parse().ok()).is_some_and(|sent: usize| sent > most);
    is_long && client.terms.sends_pictures()
}

impl<S: Sync> OptionalFromRequestParts<S> for Held {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.remove::<Self>())
    }
}
