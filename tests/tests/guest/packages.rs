//! Our packages in a guest, as the tools of its distribution handle them.

use std::fs;
use std::path::Path;
use std::process::Output;

use tests::guest::{Guest, Release};
use tests::tools::{self, Tool};

/// The tools of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// apt and dpkg.
    Deb,
    /// dnf and rpm.
    Rpm,
}

/// Which packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// Of the version before.
    Old,
    /// As they are built now.
    New,
}

/// What rpm must believe to be installed on a Debian: what our packages and their scripts ask for.
const SYSTEM_SPEC: &str = "Name: system
Version: 1
Release: 1
Summary: What Debian provides
License: none
BuildArch: noarch
Provides: /bin/sh, glibc = 2.36, glibc(x86-64) = 2.36, systemd = 252, ca-certificates, shadow-utils
%description
Nothing.
%files
";

impl Format {
    /// Those of a release.
    pub(crate) const fn of(release: Release) -> Self {
        match release {
            Release::Rpm => Self::Rpm,
            Release::Bullseye | Release::Bookworm | Release::Trixie => Self::Deb,
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }

    /// Lays both versions of the packages into the guest; `None` after saying loudly that `test` is
    /// skipped, where they are not built.
    pub(crate) fn lay_out(self, guest: &Guest, test: &str) -> Option<()> {
        for (tool, name) in [(Tool::PackagesOld, "old"), (Tool::Packages, "new")] {
            let from = tools::find(tool, test)?;
            let to = guest.path().join("srv").join(name);
            fs::create_dir(&to).unwrap();
            assert_eq!(copy(&from, &to, self.extension()), 2, "{}", from.display());
        }
        if self == Self::Rpm {
            fs::write(guest.path().join("srv/system.spec"), SYSTEM_SPEC).unwrap();
            guest.sh(
                "cd /srv && rpmbuild --quiet -bb --define '_topdir /srv/build' system.spec
                 rpm -i build/RPMS/noarch/system-*.rpm",
            );
        }
        Some(())
    }

    /// Installs both, or upgrades to them, which must succeed; what was said.
    pub(crate) fn install(self, guest: &Guest, version: Version) -> String {
        let from = version.folder();
        match self {
            Self::Deb => guest.sh(&format!(
                "DEBIAN_FRONTEND=noninteractive apt-get install -y -q {from}/*.deb 2>&1"
            )),
            Self::Rpm => guest.sh(&format!(
                "dnf install -y --disablerepo='*' {from}/*.rpm 2>&1"
            )),
        }
    }

    /// Puts the old ones in the place of the new, past what would stop an engineer who did not mean it.
    pub(crate) fn downgrade(self, guest: &Guest) -> Output {
        let from = Version::Old.folder();
        let script = match self {
            Self::Deb => format!("dpkg --install {from}/*.deb"),
            Self::Rpm => format!("rpm --upgrade --oldpackage {from}/*.rpm"),
        };
        guest.run(&["sh", "-c", &script])
    }

    /// Removes both and leaves what Debian calls their configuration; what was said.
    pub(crate) fn remove(self, guest: &Guest) -> String {
        match self {
            Self::Deb => guest.sh("apt-get remove -y -q msp-evidence-agent msp-evidence 2>&1"),
            Self::Rpm => guest.sh("dnf remove -y msp-evidence-agent msp-evidence 2>&1"),
        }
    }

    /// The version of a package that is wholly installed; blank where it is not.
    pub(crate) fn installed(self, guest: &Guest, package: &str) -> String {
        let output = match self {
            Self::Deb => guest.run(&[
                "sh",
                "-c",
                &format!(
                    "dpkg-query -W -f '${{db:Status-Status}} ${{Version}}\\n' {package} | \
                     sed -n 's/^installed //p'"
                ),
            ]),
            Self::Rpm => guest.run(&[
                "sh",
                "-c",
                &format!("rpm -q --qf '%{{VERSION}}' {package} | grep -v ' '"),
            ]),
        };
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Version {
    const fn folder(self) -> &'static str {
        match self {
            Self::Old => "/srv/old",
            Self::New => "/srv/new",
        }
    }
}

fn copy(from: &Path, to: &Path, extension: &str) -> usize {
    let mut copied = 0;
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|found| found == extension) {
            fs::copy(&path, to.join(path.file_name().unwrap_or_default())).unwrap();
            copied += 1;
        }
    }
    copied
}
