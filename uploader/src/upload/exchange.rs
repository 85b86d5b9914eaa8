//! What a run asks of the store, and of the file that it sends.

use destination::{Destination, PutRequest};
use evidence::handover::Role;
use jiff::Timestamp;
use tracing::warn;

use super::attempt::Run;
use super::body;
use super::plan::part_bytes;
use super::unsent::Unsent;
use super::verdict::chain;
use super::{Answer, Ask};
use crate::delivery::Delivery;

impl<D: Destination> Run<'_, D> {
    pub(super) fn is_large(&self, delivery: &Delivery) -> bool {
        delivery.size_bytes > self.route.policy.single_put_max_bytes
    }

    /// How many parts our bytes make, if hashing them could prove what the store has.
    pub(super) fn parts(&self, delivery: &Delivery) -> Option<u64> {
        let policy = &self.route.policy;
        (self.is_large(delivery) && policy.content_md5).then(|| {
            let part = part_bytes(delivery.size_bytes, policy.part_min_bytes);
            delivery.size_bytes.div_ceil(part)
        })
    }

    pub(super) async fn put(
        &mut self,
        delivery: &mut Delivery,
        retain_until: Timestamp,
    ) -> Result<Answer, Unsent> {
        if self.is_large(delivery) {
            return self.put_in_parts(delivery, retain_until).await;
        }
        let route = self.route;
        let permit = route.room_for(delivery.size_bytes).await?;
        self.work.moved();
        let (folder, path) = (route.evidence.clone(), delivery.path.clone());
        let (size_bytes, sha256, with_md5) = (
            delivery.size_bytes,
            delivery.sha256,
            route.policy.content_md5,
        );
        let read = move || body::read(&folder, &path, size_bytes, sha256, with_md5);
        let body = body::blocking(read).await?;
        self.work.moved();
        if let Some(md5) = body.md5 {
            self.etags.insert(delivery.delivery_rowid, hex::encode(md5));
        }
        let request = PutRequest {
            key: self.key(delivery),
            body: body.bytes,
            sha256: delivery.sha256,
            md5: body.md5,
            content_type: content_type(delivery.role),
            retain_until,
        };
        let answer = route.destination.put(&request).await;
        drop(request);
        drop(permit);
        Ok(answer.map_or_else(Answer::Failed, Answer::Put))
    }

    pub(super) async fn ask(&self, delivery: &Delivery, ask: Ask) -> Result<Answer, Unsent> {
        let store = &self.route.destination;
        let key = self.key(delivery);
        self.work.moved();
        let answer = match ask {
            Ask::Put => Err(super::place::out_of_step("put", &Answer::Locked)),
            Ask::Versions => store.versions(&key).await.map(Answer::Versions),
            Ask::Inspect(version) => store.inspect(&key, &version).await.map(Answer::Inspected),
            // A large object takes long, and may as well be read at the next start.
            Ask::ReadBack(version) => tokio::select! {
                read = store.read_back(&key, &version) => read.map(Answer::ReadBack),
                () = self.route.stopping(), if self.is_large(delivery) => return Err(Unsent::Stopped),
            },
            Ask::HashLocal => match self.plan(delivery).await {
                Ok(plan) => Ok(Answer::Hashed(plan.etag())),
                Err(Unsent::Body(error)) => {
                    warn!(
                        bundle = self.bundle_id,
                        destination = self.route.destination_id,
                        path = delivery.path,
                        error = chain(&error),
                        "the local file cannot prove what the store has, which is read back"
                    );
                    Ok(Answer::Hashed(None))
                }
                Err(unsent) => return Err(unsent),
            },
            Ask::Lock(version, until) => store
                .lock(&key, &version, until)
                .await
                .map(|()| Answer::Locked),
        };
        Ok(answer.unwrap_or_else(Answer::Failed))
    }

    pub(super) fn key(&self, delivery: &Delivery) -> String {
        format!("{}{}", self.route.prefix, delivery.path)
    }
}

pub(super) const fn content_type(role: Role) -> &'static str {
    match role {
        Role::Artifact => "application/octet-stream",
        Role::Signature => "application/vnd.dev.sigstore.bundle.v0.3+json",
        Role::Bundle => "application/json",
    }
}
