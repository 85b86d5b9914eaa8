//! A bounded portion of the model test; `cargo run -p tests --bin model` goes on for as long as one
//! likes. In a binary of its own, since the machine it kills is this process.

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tests::model::{Figures, World, sequences};

const SEQUENCES: u32 = 24;

#[test]
fn whatever_happens_every_drop_is_in_the_bucket_once_and_nothing_else_is() {
    let seed = std::env::var("MSP_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    eprintln!("MSP_TEST_SEED={seed}");
    let world = World::new();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        cases: SEQUENCES,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let figures = std::cell::RefCell::new(Figures::default());
    let result = TestRunner::new_with_rng(config, rng).run(&sequences(70), |steps| {
        world
            .run(&steps, &mut figures.borrow_mut())
            .map_err(TestCaseError::fail)
    });
    if let Err(TestError::Fail(reason, steps)) = result {
        panic!("MSP_TEST_SEED={seed}: {reason}\nafter {steps:#?}");
    }
    let figures = figures.into_inner();
    eprintln!("{figures:?}");
    assert!(
        figures.kills + figures.power_cuts > u64::from(SEQUENCES),
        "{figures:?}"
    );
}
