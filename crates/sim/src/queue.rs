//! What is to happen, by the moment and, at one moment, in the order in which it was asked for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A queue of things. They stay where they were put: only their moments are sorted.
pub(crate) struct Queue<T> {
    /// Moment, number and place.
    order: BinaryHeap<Reverse<(u64, u64, usize)>>,
    things: Vec<Option<T>>,
    free: Vec<usize>,
    count: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            order: BinaryHeap::new(),
            things: Vec::new(),
            free: Vec::new(),
            count: 0,
        }
    }
}

impl<T> Queue<T> {
    /// How many were ever put in.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn push(&mut self, at: u64, thing: T) {
        self.count += 1;
        let place = self.free.pop().unwrap_or(self.things.len());
        match self.things.get_mut(place) {
            Some(free) => *free = Some(thing),
            None => self.things.push(Some(thing)),
        }
        self.order.push(Reverse((at, self.count, place)));
    }

    /// The next one with its moment, unless that is after `end`.
    pub(crate) fn pop_until(&mut self, end: u64) -> Option<(u64, T)> {
        let Reverse((at, _, place)) = *self.order.peek()?;
        if at > end {
            return None;
        }
        self.order.pop();
        self.free.push(place);
        self.things[place].take().map(|thing| (at, thing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_by_their_moment_and_then_in_the_order_they_were_put_in() {
        let mut queue = Queue::default();
        for (at, thing) in [(5, 'd'), (3, 'a'), (5, 'e'), (3, 'b'), (4, 'c'), (9, 'f')] {
            queue.push(at, thing);
        }
        let next = |queue: &mut Queue<char>| queue.pop_until(5);
        assert_eq!(next(&mut queue), Some((3, 'a')));
        queue.push(3, 'x');
        let rest: String = std::iter::from_fn(|| next(&mut queue))
            .map(|t| t.1)
            .collect();
        assert_eq!(rest, "bxcde");
        assert_eq!((queue.count(), queue.pop_until(9)), (7, Some((9, 'f'))));
    }
}
