//! Development only: TestGateway, certificates with every flaw, the golden runner.
