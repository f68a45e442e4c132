//! Another configuration of the files: from the disk to what packets meet.

use log::error;
use tokio::time::Instant;

use super::{ATTEMPTS, Error, Gateway};
use crate::{
    chain::Chain,
    config::{self, Loaded},
    daemon::{adoption, service_manager},
    interface::types::Difference,
};

impl Gateway {
    /// The configuration on disk, if it is sound.
    pub fn read_configuration(&self) -> Result<Loaded, Error> {
        Ok(config::load_with(&self.config, self.objects())?)
    }

    /// Applies the configuration on disk, and logs why if that fails. If `adopt`, the files take
    /// over what they declare of the API's objects.
    pub async fn reload(&mut self, adopt: bool) -> Result<Difference, Error> {
        let begin = Instant::now();
        self.records.reopen();
        service_manager::reloading();
        let result = self.apply_configuration(adopt).await;
        if self.is_ready() {
            service_manager::ready();
        }
        self.publisher.reloaded(result.is_ok(), begin.elapsed());
        self.readiness.note_reload(result.as_ref().err().map(adoption::refused));
        self.publish_metrics();
        if let Err(error) = &result {
            error!("the configuration was not applied, the previous one stays: {}", Chain(error));
        }
        self.events.publish(adoption::reloaded(&result));
        result
    }

    async fn apply_configuration(&mut self, adopt: bool) -> Result<Difference, Error> {
        let mut attempts = ATTEMPTS;
        loop {
            match self.apply_once(adopt).await {
                Err(error) if attempts > 0 && error.is_conflict() => {
                    attempts -= 1;
                    self.take_in()?;
                }
                result => return result,
            }
        }
    }

    async fn apply_once(&mut self, adopt: bool) -> Result<Difference, Error> {
        let (loaded, objects) = if adopt {
            config::load_adopting(&self.config, self.objects())?
        } else {
            (self.read_configuration()?, self.objects().clone())
        };
        let next = adoption::prepare(&self.snapshot(), loaded, objects)?;
        let difference = adoption::compare(&self.snapshot(), &next);
        self.adopt(next)?;
        self.announce();
        self.converge().await?;
        Ok(difference)
    }
}
