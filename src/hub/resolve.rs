//! From what a person typed to what would be fetched.

use std::path::PathBuf;

use gibber_engine::FileType;
use gibber_engine::load::MemoryProbe;
use gibber_hub::{
    Begun, CatalogueEntry, Found, GgufModel, HubError, Listing, Plan, Reference, Repository, Result, WeightType,
    bytes_here,
};

use super::fit::{self, Candidate, Shape, TypeMark};
use super::header::RemoteHeader;
use super::{Choice, ModelHub, Offer, OfferSource, bytes_text, catalogue};

/// The revision that is meant where none is named.
const MAIN: &str = "main";
/// What stands for a repository's floats behind its name.
const FLOATS: &str = "safetensors";
/// Names that an error shows, at most.
const SHOWN: usize = 6;
/// The most that an index of safetensors has: some hundred bytes a tensor.
const INDEX: u64 = gibber_files::LARGE;
/// What floats are proposed to be quantized to, the best first, with the bits that a weight then takes.
const QUANTIZED: [(FileType, f64); 3] = [(FileType::Q8_0, 8.5), (FileType::Q6_K, 6.6), (FileType::Q4_K_M, 4.9)];
/// Bits of a float as most repositories have them.
const FLOAT_BITS: f64 = 16.0;

/// A repository, and what is wanted of it.
#[derive(Debug, Clone)]
struct Wanted<'a> {
    repository: Repository,
    revision: Option<String>,
    /// What the person said: a type, a file, a folder.
    pick: Option<String>,
    /// The entry of the catalogue that was named.
    entry: Option<&'a CatalogueEntry>,
    /// What the catalogue knows of the repository, whoever named it.
    known: Option<&'a CatalogueEntry>,
}

impl Wanted<'_> {
    fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(MAIN)
    }

    fn pattern(&self) -> Option<&str> {
        self.entry?.file.as_deref()
    }

    /// What the catalogue takes where it fits.
    fn wished(&self) -> Option<&WeightType> {
        self.entry?.weight_type.as_ref()
    }

    /// Whether a GGUF file that is here is what was named: a short name is of one type and of files called so, whatever
    /// else of the repository is here.
    fn means(&self, model: &GgufModel) -> bool {
        let Some(entry) = self.entry else { return true };
        let is_type = match (&entry.weight_type, &model.weight_type) {
            (Some(wished), Some(own)) if self.pick.is_none() => wished == own,
            // A type that was written has been looked for; where the names of the files say none, it is the entry's.
            (Some(_) | None, Some(_) | None) => true,
        };
        is_type && self.pattern().is_none_or(|pattern| is_called(model, pattern))
    }

    /// Whether a folder of floats can be what was named.
    fn means_folder(&self) -> bool {
        let is_float = || self.pick.is_some() || self.wished().is_none_or(WeightType::is_float);
        self.pattern().is_none() && is_float()
    }

    /// Whether the part of a file that was begun is of what was named.
    fn means_part(&self, path: Option<&str>) -> bool {
        let is_of_type = |wanted: &WeightType| {
            path.is_some_and(|path| match WeightType::of_path(path) {
                Some(own) => own == *wanted,
                None => !is_gguf(path) && wanted.is_float(),
            })
        };
        match (&self.pick, self.wished()) {
            (Some(pick), _) => {
                path == Some(pick)
                    || (pick.eq_ignore_ascii_case(FLOATS) && path.is_some_and(|path| !is_gguf(path)))
                    || WeightType::new(pick).is_some_and(|wanted| is_of_type(&wanted))
            }
            (None, Some(wished)) => is_of_type(wished),
            (None, None) => true,
        }
    }

    /// An error that says where the name comes from, where it is about what the name stands for.
    fn about(&self, error: HubError) -> HubError {
        let Some(entry) = self.entry.filter(|_| is_about_the_name(&error)) else { return error };
        HubError::Entry {
            name: entry.full_name(),
            family: entry.name.clone(),
            path: entry.place.path.clone(),
            line: entry.place.line,
            cause: Box::new(error),
        }
    }
}

fn is_gguf(path: &str) -> bool {
    path.ends_with(".gguf")
}

/// Whether a model's file is called as the pattern of a catalogue says, whose `{type}` stands for any type.
fn is_called(model: &GgufModel, pattern: &str) -> bool {
    let name = model.stem.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let pattern = pattern.to_ascii_lowercase();
    let pattern = pattern.strip_suffix(".gguf").unwrap_or(&pattern);
    match pattern.split_once("{type}") {
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| rest.ends_with(after)),
        None => name == pattern,
    }
}

/// Whether it says that what a name stands for is not there, and nothing of the network or this machine.
fn is_about_the_name(error: &HubError) -> bool {
    matches!(
        error,
        HubError::Repository { .. }
            | HubError::NoRepository { .. }
            | HubError::NoRevision { .. }
            | HubError::NoFile { .. }
    )
}

/// A model that is not here, as its header says it.
#[derive(Debug)]
pub struct RemoteModel {
    /// What the engine makes of it.
    pub header: RemoteHeader,
    /// Where it is.
    pub place: String,
    /// Bytes that fetching it takes.
    pub bytes: u64,
}

/// A type that was chosen, or floats.
struct Chosen {
    plan: Plan,
    /// What is to be said of it and of memory.
    reason: String,
    choices: Vec<Choice>,
    cannot_run: Option<String>,
    /// What floats are best quantized to.
    quantize_to: Option<FileType>,
}

impl ModelHub {
    /// What `text` means where this hub is.
    ///
    /// # Errors
    /// Those of [`Reference::parse`].
    pub fn reference(&self, text: &str) -> Result<Reference> {
        Reference::parse(text, &self.client().environment().endpoint)
    }

    /// Whether the catalogue has a family of this name.
    pub fn knows(&self, family: &str) -> bool {
        !matches!(self.names().find(family, None), Found::Nothing(_))
    }

    /// What has a short name, in the order of all lists.
    pub fn catalogue(&self) -> Vec<Choice> {
        let available = (MemoryProbe::default().0)();
        let entries = catalogue::in_order(&self.names().entries);
        entries.into_iter().map(|entry| choice_of_entry(entry, available)).collect()
    }

    /// What there is of `reference`: the sizes of a family, the types of a repository.
    ///
    /// # Errors
    /// Those of [`ModelHub::offer`].
    pub fn choices(&self, name: &str, reference: &Reference) -> Result<Vec<Choice>> {
        if let Reference::Catalogue { name, tag: None } = reference {
            let family = self.names().family(name);
            if family.len() > 1 {
                let available = (MemoryProbe::default().0)();
                let family = catalogue::in_order(family);
                return Ok(family.into_iter().map(|entry| choice_of_entry(entry, available)).collect());
            }
        }
        Ok(self.offer(name, reference)?.choices)
    }

    /// Where the model is that `reference` stands for, if all of it is on this machine. No other machine is asked.
    pub fn here(&self, reference: &Reference) -> Option<PathBuf> {
        let wanted = self.wanted(&self.at_endpoint(reference)).ok()??;
        let cache = self.cache_folder()?;
        let listing = cache.listing(&wanted.repository, wanted.revision())?;
        let is_here = |plan: &Plan| plan.files.iter().all(|file| cache.find(&listing, file).is_some());
        let of_gguf = |models: Vec<GgufModel>| -> Vec<Plan> {
            let meant = models.iter().filter(|model| wanted.means(model));
            meant.map(|model| Plan::of_gguf(&listing, model)).filter(is_here).collect()
        };
        let mut plans = match gibber_hub::offer(&listing, wanted.pick.as_deref(), wanted.pattern()).ok()? {
            gibber_hub::Offer::Plan(plan) if plan.is_folder() => {
                Some(plan).filter(|plan| wanted.means_folder() && is_here(plan)).into_iter().collect()
            }
            gibber_hub::Offer::Plan(plan) => {
                let mut models = gibber_hub::gguf_models(&listing);
                models.retain(|model| plan.files.iter().any(|file| file.path == model.path()));
                of_gguf(models)
            }
            gibber_hub::Offer::Types(models) => of_gguf(models),
            gibber_hub::Offer::Index(floats) => {
                let index = cache.find(&listing, floats.index()?)?;
                let index = gibber_files::read(&index, INDEX).ok()?;
                let plan = floats.plan(&listing, Some(&index)).ok()?;
                Some(plan).filter(|plan| wanted.means_folder() && is_here(plan)).into_iter().collect()
            }
        };
        // Of several that are here a name that says none of them means none.
        let plan = plans.pop().filter(|_| plans.is_empty())?;
        Some(cache.snapshot(&listing.repository, &listing.commit).join(&plan.model)).filter(|path| path.exists())
    }

    /// What pulls of `reference` have begun, and the folder of its repository, where there is something.
    pub fn begun(&self, reference: &Reference) -> Option<(PathBuf, Vec<Begun>)> {
        // Of a name that nothing has, the hub would be asked.
        if let Reference::Catalogue { name, tag } = reference
            && matches!(self.names().find(name, tag.as_deref()), Found::Nothing(_))
        {
            return None;
        }
        let Some(wanted) = self.wanted(&self.at_endpoint(reference)).ok()? else {
            let Reference::Address { url, .. } = reference else { return None };
            let mut begun = gibber_hub::begun_of_addresses(self.own_folder());
            begun.retain(|part| part.path.as_ref().is_some_and(|other| gibber_hub::is_same_model(url, other)));
            return (!begun.is_empty()).then(|| (self.own_folder().to_owned(), begun));
        };
        let folder = self.cache_folder()?.repository(&wanted.repository);
        let mut begun = gibber_hub::begun(&folder);
        begun.retain(|part| wanted.means_part(part.path.as_deref()));
        (!begun.is_empty()).then_some((folder, begun))
    }

    /// What pulls have begun and nobody is at: under names that go on with them, or remove them.
    pub fn all_begun(&self) -> Vec<(String, Begun)> {
        let address = |part: Begun| Some((part.path.clone()?, part));
        let of_addresses = gibber_hub::begun_of_addresses(self.own_folder()).into_iter().filter_map(address);
        let Some(cache) = self.cache_folder() else { return of_addresses.collect() };
        let named = |repository: &Repository, part: Begun| {
            let name = match part.path.as_deref() {
                Some(path) if is_gguf(path) => format!("{repository}:{path}"),
                Some(_) => format!("{repository}:{FLOATS}"),
                None => repository.to_string(),
            };
            (name, part)
        };
        let of_one = |repository: Repository| {
            let parts = gibber_hub::begun(&cache.repository(&repository)).into_iter();
            parts.map(|part| named(&repository, part)).collect::<Vec<_>>()
        };
        cache.repositories().into_iter().flat_map(of_one).chain(of_addresses).collect()
    }

    /// What `reference`, which was written as `name`, stands for. Asks the hub, and fetches nothing but what the choice needs:
    /// a list of files, a header.
    ///
    /// # Errors
    /// Where nothing is called so, it may not be had, or no hub can be reached.
    pub fn offer(&self, name: &str, reference: &Reference) -> Result<Offer> {
        let reference = self.at_endpoint(reference);
        let wanted = self.wanted(&reference).map_err(|error| self.with_search(&reference, error))?;
        let Some(wanted) = wanted else { return self.offer_of_address(name, &reference) };
        let listing = self.listing(&wanted)?;
        let chosen = self.chosen(&wanted, &listing, MemoryProbe::default()).map_err(|error| wanted.about(error))?;
        let here = self.cache_folder().map_or(0, |cache| bytes_here(cache, &chosen.plan));
        let is_folder = chosen.plan.is_folder();
        let is_float = |kind: WeightType| kind.is_float();
        let is_floats = is_folder || WeightType::of_path(&chosen.plan.model.to_string_lossy()).is_some_and(is_float);
        Ok(Offer {
            name: name.to_owned(),
            sentence: sentence(&wanted, &chosen, is_folder),
            choices: chosen.choices,
            total: chosen.plan.bytes(),
            here,
            is_floats,
            cannot_run: chosen.cannot_run,
            quantize_to: chosen.quantize_to,
            source: OfferSource::Repository(chosen.plan),
        })
    }

    /// What `reference` stands for, looked at where it is: nothing is fetched but its header.
    ///
    /// # Errors
    /// Those of [`ModelHub::offer`]; an address is of no hub.
    pub fn header(&self, reference: &Reference) -> Result<RemoteModel> {
        let reference = self.at_endpoint(reference);
        let wanted = self.wanted(&reference).map_err(|error| self.with_search(&reference, error))?;
        let Some(wanted) = wanted else {
            let why = "the header of a file can be had of a hub's alone: `gibber pull` fetches this one".to_owned();
            return Err(HubError::Name { name: reference.to_string(), why });
        };
        let listing = self.listing(&wanted)?;
        let chosen = self.chosen(&wanted, &listing, MemoryProbe::default()).map_err(|error| wanted.about(error))?;
        let header = RemoteHeader::fetch(self.client(), self.cache_folder(), &chosen.plan)?;
        let file = chosen.plan.model.display().to_string();
        let place = [&self.client().environment().endpoint, wanted.repository.as_str(), &file]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<&str>>()
            .join("/");
        Ok(RemoteModel { header, place, bytes: chosen.plan.bytes() })
    }

    /// The same reference where an address is one of a file of this hub.
    fn at_endpoint(&self, reference: &Reference) -> Reference {
        self.reference(&reference.to_string()).unwrap_or_else(|_| reference.clone())
    }

    /// The repository that is meant; none for an address. Nobody is asked.
    fn wanted(&self, reference: &Reference) -> Result<Option<Wanted<'_>>> {
        match reference {
            Reference::Address { .. } => Ok(None),
            Reference::Hub { repository, pick, revision } => {
                let (repository, revision, pick) = (repository.clone(), revision.clone(), pick.clone());
                let known = self.names().entries.iter().find(|entry| entry.repository == repository);
                Ok(Some(Wanted { repository, revision, pick, entry: None, known }))
            }
            Reference::Catalogue { name, tag } => {
                let (entry, kind) = self.entry(name, tag.as_deref())?;
                Ok(Some(Wanted {
                    repository: entry.repository.clone(),
                    revision: entry.revision.clone(),
                    pick: kind.map(|kind| kind.to_string()),
                    entry: Some(entry),
                    known: Some(entry),
                }))
            }
        }
    }

    /// The one entry that a short name stands for.
    fn entry(&self, name: &str, tag: Option<&str>) -> Result<(&CatalogueEntry, Option<WeightType>)> {
        let typed = tag.map_or_else(|| name.to_owned(), |tag| format!("{name}:{tag}"));
        let wrong = |why: String| Err(HubError::Name { name: typed.clone(), why });
        match self.names().find(name, tag) {
            Found::One(entry, kind) => Ok((entry, kind)),
            Found::Family(entries) => wrong(format!("it is a family: write one of {}", sizes(&entries))),
            Found::NoTag(entries) => wrong(format!("there is no such size or type: write one of {}", sizes(&entries))),
            Found::Nothing(near) => wrong(nothing(&near, &[])),
        }
    }

    /// Of a short name that nothing has, the error with what the hub has under that name.
    fn with_search(&self, reference: &Reference, error: HubError) -> HubError {
        let Reference::Catalogue { name, tag } = reference else { return error };
        match self.names().find(name, tag.as_deref()) {
            Found::Nothing(near) => {
                HubError::Name { name: reference.to_string(), why: nothing(&near, &self.found_on_hub(name)) }
            }
            Found::One(..) | Found::Family(_) | Found::NoTag(_) => error,
        }
    }

    /// Repositories that have a word in their names; none where the hub does not say.
    fn found_on_hub(&self, word: &str) -> Vec<String> {
        if self.client().environment().offline.is_some() {
            return Vec::new();
        }
        self.client().search(word).unwrap_or_default()
    }

    /// The files of a repository. Without the hub, those that are here.
    fn listing(&self, wanted: &Wanted<'_>) -> Result<Listing> {
        match self.client().list(&wanted.repository, wanted.revision()) {
            Ok(listing) => Ok(listing),
            Err(error @ HubError::Offline { .. }) => {
                let here = self.cache_folder().and_then(|cache| cache.listing(&wanted.repository, wanted.revision()));
                here.ok_or(error)
            }
            Err(error) => Err(wanted.about(error)),
        }
    }

    fn chosen(&self, wanted: &Wanted<'_>, listing: &Listing, memory: MemoryProbe) -> Result<Chosen> {
        let available = (memory.0)();
        let offered = gibber_hub::offer(listing, wanted.pick.as_deref(), wanted.pattern());
        match offered.map_err(|error| self.with_near(listing, error))? {
            gibber_hub::Offer::Types(models) => {
                let shape = self.shape(wanted, listing, &models);
                self.chosen_type(wanted, listing, &models, &shape, available)
            }
            gibber_hub::Offer::Plan(plan) if !plan.is_folder() => {
                // All that there are, of which this one is asked for.
                let all = gibber_hub::gguf_models(listing);
                let own: Vec<GgufModel> =
                    all.iter().filter(|model| model.path() == plan.files[0].path).cloned().collect();
                let shape = self.shape(wanted, listing, &own);
                let choices = choices(wanted, &all, &fit::candidates(&all, &shape.0, available));
                let chosen = self.chosen_type(wanted, listing, &own, &shape, available)?;
                Ok(Chosen { choices, ..chosen })
            }
            gibber_hub::Offer::Plan(plan) => Ok(floats(wanted, plan, available)),
            gibber_hub::Offer::Index(parts) => {
                let read = |file| gibber_hub::read_file(self.client(), self.cache_folder(), listing, file, INDEX);
                let bytes = parts.index().map(read).transpose()?.unwrap_or_default();
                Ok(floats(wanted, parts.plan(listing, Some(&bytes))?, available))
            }
        }
    }

    /// What keys and values of `models` take, and why the engine cannot run them: the catalogue says it, or the header of one.
    fn shape(&self, wanted: &Wanted<'_>, listing: &Listing, models: &[GgufModel]) -> (Shape, Option<String>) {
        // Where the names of the files say no type, it is the entry's.
        let says_type = models.iter().any(|model| model.weight_type.is_some());
        let why = if says_type { catalogue::cannot_run_architecture } else { catalogue::cannot_run };
        let known = wanted.known.and_then(why);
        match (shape_of(wanted.known), &known) {
            (Shape::Unknown, None) => self.shape_of_header(listing, models),
            (shape, _) => (shape, known),
        }
    }

    /// The best of several types.
    fn chosen_type(
        &self,
        wanted: &Wanted<'_>,
        listing: &Listing,
        models: &[GgufModel],
        (shape, unfit): &(Shape, Option<String>),
        available: Option<u64>,
    ) -> Result<Chosen> {
        let candidates = fit::candidates(models, shape, available);
        let Some(chosen) = fit::choose(models, &candidates, wanted.wished(), available) else {
            let types: Vec<&str> = models.iter().map(GgufModel::label).collect();
            let why = format!("this engine can run none of its types: {}", types.join(", "));
            // What was asked for by its name can be had all the same.
            return match models {
                [only] => Ok(of_model(wanted, listing, only, models, &candidates, available, Some(why))),
                _ => Err(HubError::Repository { repository: listing.repository.to_string(), why }),
            };
        };
        Ok(of_model(wanted, listing, &models[chosen.index], models, &candidates, available, unfit.clone()))
    }

    /// The shape of a repository's models, all of which have the same; and why the engine cannot run them.
    fn shape_of_header(&self, listing: &Listing, models: &[GgufModel]) -> (Shape, Option<String>) {
        let cache = self.cache_folder();
        let is_here = |model: &GgufModel| {
            model.files.iter().all(|file| cache.and_then(|cache| cache.find(listing, file)).is_some())
        };
        let effort = |model: &&GgufModel| (!is_here(model), model.files.len(), model.bytes);
        let Some(nearest) = models.iter().min_by_key(effort) else { return (Shape::Unknown, None) };
        // A figure is not worth waiting for a server that is slow today.
        match RemoteHeader::fetch(&self.client().briefly(), cache, &Plan::of_gguf(listing, nearest)) {
            Ok(header) => match header.files {
                Ok(files) => (Shape::Read(Box::new(files.config)), None),
                Err(why) => (Shape::Unknown, Some(why)),
            },
            Err(error) => {
                tracing::debug!(%error, repository = %listing.repository, "the header could not be read");
                (Shape::Unknown, None)
            }
        }
    }

    /// Where a repository has no model, conversions of it are named.
    fn with_near(&self, listing: &Listing, error: HubError) -> HubError {
        let has_models = !gibber_hub::gguf_models(listing).is_empty() || gibber_hub::floats(listing).is_some();
        let HubError::Repository { repository, why } = error else { return error };
        if has_models {
            return HubError::Repository { repository, why };
        }
        let name = repository.rsplit('/').next().unwrap_or_default();
        let is_conversion = |other: &String| other.to_ascii_lowercase().contains("gguf");
        let (conversions, rest): (Vec<String>, Vec<String>) =
            self.found_on_hub(name).into_iter().filter(|other| *other != repository).partition(is_conversion);
        let others = if conversions.is_empty() { rest } else { conversions };
        let hint = if others.is_empty() { String::new() } else { format!("; near it are {}", first(&others)) };
        HubError::Repository { repository, why: format!("{why}{hint}") }
    }

    fn offer_of_address(&self, name: &str, reference: &Reference) -> Result<Offer> {
        let Reference::Address { url, sha256 } = reference else {
            return Err(HubError::Name { name: name.to_owned(), why: "it is no address".to_owned() });
        };
        let (total, files) = gibber_hub::address_size(self.client(), url)?;
        let parts = if files == 1 { String::new() } else { format!("a model in {files} files, ") };
        let checked = match (sha256, files) {
            (Some(_), 1) => String::new(),
            (Some(_), _) => {
                "; #sha256= is of this file alone, of the others nothing but the length is checked".to_owned()
            }
            (None, 1) => "; without #sha256= nothing but its length is checked".to_owned(),
            (None, _) => "; without #sha256= nothing but their lengths is checked".to_owned(),
        };
        Ok(Offer {
            name: name.to_owned(),
            sentence: format!("{url}: {parts}{}{checked}", bytes_text(total)),
            choices: Vec::new(),
            total,
            here: 0,
            is_floats: WeightType::of_path(url).is_some_and(|kind| kind.is_float()),
            cannot_run: None,
            quantize_to: None,
            source: OfferSource::Address { url: url.clone(), sha256: sha256.clone() },
        })
    }
}

fn shape_of(entry: Option<&CatalogueEntry>) -> Shape {
    match entry.and_then(|entry| Some((entry.kv?, entry.context))) {
        Some((kv, context)) => Shape::Catalogue { kv, context },
        None => Shape::Unknown,
    }
}

fn of_model(
    wanted: &Wanted<'_>,
    listing: &Listing,
    model: &GgufModel,
    models: &[GgufModel],
    candidates: &[Candidate],
    available: Option<u64>,
    cannot_run: Option<String>,
) -> Chosen {
    let candidate = candidates.iter().find(|candidate| models[candidate.index].path() == model.path());
    let reason =
        candidate.map_or_else(String::new, |one| fit::line(model.label(), &one.need, one.is_estimate, available));
    let choices = choices(wanted, models, candidates);
    Chosen { plan: Plan::of_gguf(listing, model), reason, choices, cannot_run, quantize_to: None }
}

/// Floats: what they take as they are, and what they are best quantized to.
fn floats(wanted: &Wanted<'_>, plan: Plan, available: Option<u64>) -> Chosen {
    let bytes: u64 = plan.files.iter().filter(|file| file.path.ends_with(".safetensors")).map(|file| file.size).sum();
    let shape = shape_of(wanted.known);
    let proposed = quantize_to(bytes, &shape, available);
    let need = shape.need((bytes as f64 * proposed.1 / FLOAT_BITS) as u64);
    let reason =
        format!("floats, best quantized on arrival; as {}", fit::line(proposed.0.name(), &need, true, available));
    let cannot_run = wanted.known.and_then(catalogue::cannot_run);
    let revision = wanted.revision.as_ref().map(|revision| format!("@{revision}")).unwrap_or_default();
    let name = wanted.entry.map_or_else(|| format!("{}{revision}", wanted.repository), CatalogueEntry::full_name);
    let note = format!(
        "safetensors; --quantize {} makes it {} of memory",
        proposed.0.name().to_ascii_lowercase(),
        fit::amount(&need, true)
    );
    let fits = match cannot_run {
        Some(_) => Some(false),
        None => available.map(|available| need.total() <= available),
    };
    let choice = Choice { name, bytes: Some(plan.bytes()), note, fits, is_unknown: cannot_run.is_some() };
    Chosen { plan, reason, choices: vec![choice], cannot_run, quantize_to: Some(proposed.0) }
}

/// What floats of so many bytes are best quantized to, with the bits of a weight.
fn quantize_to(bytes: u64, shape: &Shape, available: Option<u64>) -> (FileType, f64) {
    let fits = |&(_, bits): &(FileType, f64)| {
        let need = shape.need((bytes as f64 * bits / FLOAT_BITS) as u64);
        available.is_none_or(|available| need.total() <= available)
    };
    QUANTIZED.into_iter().find(fits).unwrap_or(QUANTIZED[QUANTIZED.len() - 1])
}

fn sentence(wanted: &Wanted<'_>, chosen: &Chosen, is_folder: bool) -> String {
    let what = if is_folder { String::new() } else { format!("/{}", chosen.plan.model.display()) };
    let unfit = chosen.cannot_run.as_ref().map(|why| format!("; it cannot be run: {why}")).unwrap_or_default();
    let gated = if chosen.plan.listing.gated { ", gated" } else { "" };
    let licence = wanted.entry.map(|entry| format!(", {} licence", entry.licence)).unwrap_or_default();
    let size = bytes_text(chosen.plan.bytes());
    format!("{}{what} ({size}{licence}{gated}); {}{unfit}", wanted.repository, chosen.reason)
}

/// Each type with what it takes, under a name that can be typed.
fn choices(wanted: &Wanted<'_>, models: &[GgufModel], candidates: &[Candidate]) -> Vec<Choice> {
    let of = |candidate: &Candidate| {
        let model = &models[candidate.index];
        let several = models.iter().filter(|other| other.weight_type == model.weight_type).count() > 1;
        let pick = match &model.weight_type {
            Some(kind) if !several => kind.to_string(),
            _ => model.path().to_owned(),
        };
        let revision = wanted.revision.as_ref().map(|revision| format!("@{revision}")).unwrap_or_default();
        let name = match wanted.entry {
            Some(entry) if !several && model.weight_type.is_some() => {
                format!("{}-{}", entry.full_name(), pick.to_ascii_lowercase())
            }
            _ => format!("{}:{pick}{revision}", wanted.repository),
        };
        let mut notes = vec![format!("{} of memory", fit::amount(&candidate.need, candidate.is_estimate))];
        match candidate.mark {
            TypeMark::Computed => {}
            TypeMark::Mixed => notes.push("may hold weights that cannot be run yet".to_owned()),
            TypeMark::NotComputed => notes.push("cannot be run yet".to_owned()),
        }
        let fits = if candidate.mark == TypeMark::NotComputed { Some(false) } else { candidate.fits };
        let is_unknown = candidate.mark == TypeMark::NotComputed;
        Choice { name, bytes: Some(model.bytes), note: notes.join(", "), fits, is_unknown }
    };
    candidates.iter().map(of).collect()
}

/// An entry as one to choose.
fn choice_of_entry(entry: &CatalogueEntry, available: Option<u64>) -> Choice {
    let need = shape_of(Some(entry)).need(entry.bytes);
    let mut notes = vec![catalogue::good_at(entry), entry.licence.clone()];
    if entry.gated {
        notes.push("gated".to_owned());
    }
    let cannot_run = catalogue::cannot_run(entry);
    let fits = match cannot_run {
        Some(_) => Some(false),
        None => available.map(|available| need.total() <= available),
    };
    let is_unknown = cannot_run.is_some();
    notes.extend(cannot_run);
    Choice { name: entry.full_name(), bytes: Some(entry.bytes), note: notes.join(", "), fits, is_unknown }
}

/// `qwen3:0.6b (639 MB), …`
fn sizes(entries: &[&CatalogueEntry]) -> String {
    let size = |entry: &CatalogueEntry| format!("{} ({})", entry.full_name(), bytes_text(entry.bytes));
    catalogue::in_order(entries.iter().copied()).into_iter().map(size).collect::<Vec<_>>().join(", ")
}

/// The first few of many names.
fn first(names: &[String]) -> String {
    names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn nothing(near: &[String], on_hub: &[String]) -> String {
    let mut why = "no model has this short name".to_owned();
    if !near.is_empty() {
        why.push_str(&format!("; near it are {}", near.join(", ")));
    }
    if !on_hub.is_empty() {
        why.push_str(&format!("; repositories with it in their names are {}", first(on_hub)));
    }
    why.push_str("; `gibber pull --list` shows all short names");
    why
}

#[cfg(test)]
mod tests;
