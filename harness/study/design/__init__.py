"""Who rates what: the protocol, the plan, the texts and controls it is made of, and creating a study from them."""
