//! What others do to a running agent's folders.

use std::fs;
use std::time::Duration;

use tests::clinic::{Clinic, Role};

use crate::incident;

#[test]
fn a_drop_folder_replaced_under_the_running_agent_is_opened_again_without_a_restart() {
    let mut clinic = Clinic::new();
    clinic.start(Role::Agent);
    clinic.drop_document("before.json", &incident::document("BEFORE"));
    clinic.wait_until("the first is sealed", |c| c.bundles().len() == 1);
    let pid = clinic.pid(Role::Agent);
    let drop_folder = clinic.state("drop");
    let mode = fs::metadata(&drop_folder).unwrap().permissions();
    let aside = drop_folder.with_file_name("drop-of-before");
    fs::rename(&drop_folder, &aside).unwrap();
    fs::create_dir(&drop_folder).unwrap();
    fs::set_permissions(&drop_folder, mode).unwrap();
    clinic.drop_document("after.json", &incident::document("AFTER"));
    // The watch is on the old folder, so something else must wake the agent: a receipt does.
    fs::write(clinic.state("receipts").join("x.receipt.json"), b"none").unwrap();
    loop {
        let (_, event) = clinic
            .next_event(Duration::from_secs(60))
            .expect("it is said");
        if event.to_string().contains("opened_again") {
            break;
        }
    }
    clinic.wait_until("the second is sealed", |c| c.bundles().len() == 2);
    clinic.drop_document("later.json", &incident::document("LATER"));
    clinic.wait_until("the new folder is watched", |c| c.bundles().len() == 3);
    assert_eq!(clinic.pid(Role::Agent), pid, "the same process");
    clinic.stop(Role::Agent);
}
