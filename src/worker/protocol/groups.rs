//! Events in groups, as patterns. Whoever matches on an event names the groups that have nothing for it in the place of a
//! wildcard: a new event has to be put into a group, or to be named wherever events are matched, before anything compiles.

/// A model is being loaded.
macro_rules! of_loading {
    () => {
        $crate::worker::protocol::EngineEvent::LoadProgress { .. }
            | $crate::worker::protocol::EngineEvent::Loaded { .. }
    };
}

/// A prompt is being made and computed, of a reply or of a comparison.
macro_rules! of_prompt {
    () => {
        $crate::worker::protocol::EngineEvent::TurnsDropped { .. }
            | $crate::worker::protocol::EngineEvent::Adapted { .. }
            | $crate::worker::protocol::EngineEvent::ThoughtOpened { .. }
            | $crate::worker::protocol::EngineEvent::PromptFault { .. }
            | $crate::worker::protocol::EngineEvent::PrefillProgress { .. }
            | $crate::worker::protocol::EngineEvent::Began { .. }
    };
}

/// A reply goes on, and ends.
macro_rules! of_reply {
    () => {
        $crate::worker::protocol::EngineEvent::Token { .. }
            | $crate::worker::protocol::EngineEvent::Paused { .. }
            | $crate::worker::protocol::EngineEvent::Resumed { .. }
            | $crate::worker::protocol::EngineEvent::TakenBack { .. }
            | $crate::worker::protocol::EngineEvent::Finished { .. }
    };
}

/// The replies of a comparison go on, and end.
macro_rules! of_variants {
    () => {
        $crate::worker::protocol::EngineEvent::VariantToken { .. }
            | $crate::worker::protocol::EngineEvent::VariantFinished { .. }
            | $crate::worker::protocol::EngineEvent::Compared { .. }
    };
}

/// What was asked without a reply is answered: by one event of these, and by progress before it at most.
macro_rules! answers {
    () => {
        $crate::worker::protocol::EngineEvent::Distribution { .. }
            | $crate::worker::protocol::EngineEvent::Scored { .. }
            | $crate::worker::protocol::EngineEvent::PromptScored { .. }
            | $crate::worker::protocol::EngineEvent::Counted { .. }
            | $crate::worker::protocol::EngineEvent::Prefilled { .. }
            | $crate::worker::protocol::EngineEvent::TemplateDescribed { .. }
            | $crate::worker::protocol::EngineEvent::Measured { .. }
    };
}

pub(crate) use {answers, of_loading, of_prompt, of_reply, of_variants};
