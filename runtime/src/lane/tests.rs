//! Tables and properties of the lane.
