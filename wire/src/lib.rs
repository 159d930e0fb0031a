//! Ids, units, messages, the bounded codec and signatures of headwater.
