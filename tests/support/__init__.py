"""What several tests share: brokers, fakes, made-up sets, records."""
