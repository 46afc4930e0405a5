"""What suites need from elsewhere: fetched once, pinned by commit and hash, checked before it is used offline."""
