//! A vector with holes whose ids carry a generation, so that an id of a removed value finds nothing.

/// The place of a value and the generation of that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Slot {
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn from_bits(bits: u64) -> Slot {
        Slot { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    /// Generation of a new place, above that of every id given out for it before the last release.
    floor: u32,
}

/// Places that are kept when nothing is left in them.
const KEPT: usize = 1_024;

struct Place<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Slab { places: Vec::new(), free: Vec::new(), floor: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, value: T) -> Slot {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.value = Some(value);
            return Slot { index, generation: place.generation };
        }
        let index = u32::try_from(self.places.len()).expect("the table's capacity fits 32 bits");
        self.places.push(Place { generation: self.floor, value: Some(value) });
        Slot { index, generation: self.floor }
    }

    /// Gives the memory of a burst back when nothing is left of it.
    pub(super) fn release(&mut self) {
        if self.len() == 0 && self.places.len() > KEPT {
            self.floor = self.places.iter().map(|place| place.generation).max().unwrap_or(self.floor);
            (self.places, self.free) = (Vec::new(), Vec::new());
        }
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&T> {
        let place = self.places.get(slot.index as usize)?;
        if place.generation == slot.generation { place.value.as_ref() } else { None }
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let place = self.places.get_mut(slot.index as usize)?;
        if place.generation == slot.generation { place.value.as_mut() } else { None }
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<T> {
        let place = self.places.get_mut(slot.index as usize)?;
        if place.generation != slot.generation {
            return None;
        }
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot.index);
        Some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let slot = Slot { index: index as u32, generation: place.generation };
            place.value.as_ref().map(|value| (slot, value))
        })
    }
}
