//! The checks behind the rules, one function a rule.
