"""What suites need from the network: fetched once, pinned by commit and hash, checked before it is used offline."""
