//! Instance types: what DescribeInstanceTypes says of them and what a
//! launch is given.

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// `x86_64`.
    X86_64,
}

impl Arch {
    /// AWS's word.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
        }
    }
}

/// One instance type. Figures as published by AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceType {
    /// Its name, such as `t3.micro`.
    pub name: &'static str,
    /// Default number of vCPUs.
    pub vcpus: u32,
    /// Default number of cores.
    pub cores: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Whether it earns CPU credits (BurstablePerformanceSupported).
    pub burstable: bool,
    /// Whether it is of the current generation.
    pub current_generation: bool,
    /// `nitro` or `xen`.
    pub hypervisor: &'static str,
    /// Architecture.
    pub arch: Arch,
}

/// The instance type called `name`.
pub fn instance_type(name: &str) -> Option<&'static InstanceType> {
    all().iter().find(|kind| kind.name == name)
}

/// Every instance type, in the order of its family and size.
pub fn all() -> &'static [InstanceType] {
    TYPES
}

impl InstanceType {
    /// How many network interfaces an instance may have, and how many private
    /// addresses each of them (EC2 User Guide, "IP addresses per network
    /// interface"): a matter of the size, and of the family below `xlarge`.
    pub fn interface_limits(&self) -> (u16, u16) {
        let (family, size) = self.name.split_once('.').unwrap_or((self.name, ""));
        let previous = family == "t2";
        match (size, self.burstable) {
            ("nano" | "micro", _) => (2, 2),
            ("small", _) => (3, 4),
            ("medium", _) => (3, 6),
            ("large", true) => (3, 12),
            ("large", false) => (3, 10),
            ("xlarge" | "2xlarge", _) if previous => (3, 15),
            ("xlarge" | "2xlarge", _) => (4, 15),
            ("4xlarge" | "8xlarge" | "9xlarge" | "12xlarge", _) => (8, 30),
            _ => (15, 50),
        }
    }
}

const fn t2(name: &'static str, vcpus: u32, memory_mib: u32) -> InstanceType {
    InstanceType {
        name,
        vcpus,
        cores: vcpus,
        memory_mib,
        burstable: true,
        current_generation: true,
        hypervisor: "xen",
        arch: Arch::X86_64,
    }
}

const fn burstable(name: &'static str, vcpus: u32, memory_mib: u32) -> InstanceType {
    InstanceType { burstable: true, ..fixed(name, vcpus, memory_mib) }
}

const fn fixed(name: &'static str, vcpus: u32, memory_mib: u32) -> InstanceType {
    InstanceType {
        name,
        vcpus,
        cores: vcpus / 2,
        memory_mib,
        burstable: false,
        current_generation: true,
        hypervisor: "nitro",
        arch: Arch::X86_64,
    }
}

/// One GiB in MiB.
const GIB: u32 = 1024;

const TYPES: &[InstanceType] = &[
    fixed("c5.large", 2, 4 * GIB),
    fixed("c5.xlarge", 4, 8 * GIB),
    fixed("c5.2xlarge", 8, 16 * GIB),
    fixed("c5.4xlarge", 16, 32 * GIB),
    fixed("c5.9xlarge", 36, 72 * GIB),
    fixed("c5.12xlarge", 48, 96 * GIB),
    fixed("c5.18xlarge", 72, 144 * GIB),
    fixed("c5.24xlarge", 96, 192 * GIB),
    fixed("c6i.large", 2, 4 * GIB),
    fixed("c6i.xlarge", 4, 8 * GIB),
    fixed("c6i.2xlarge", 8, 16 * GIB),
    fixed("c6i.4xlarge", 16, 32 * GIB),
    fixed("c6i.8xlarge", 32, 64 * GIB),
    fixed("c6i.12xlarge", 48, 96 * GIB),
    fixed("c6i.16xlarge", 64, 128 * GIB),
    fixed("c6i.24xlarge", 96, 192 * GIB),
    fixed("c6i.32xlarge", 128, 256 * GIB),
    fixed("m5.large", 2, 8 * GIB),
    fixed("m5.xlarge", 4, 16 * GIB),
    fixed("m5.2xlarge", 8, 32 * GIB),
    fixed("m5.4xlarge", 16, 64 * GIB),
    fixed("m5.8xlarge", 32, 128 * GIB),
    fixed("m5.12xlarge", 48, 192 * GIB),
    fixed("m5.16xlarge", 64, 256 * GIB),
    fixed("m5.24xlarge", 96, 384 * GIB),
    fixed("m6i.large", 2, 8 * GIB),
    fixed("m6i.xlarge", 4, 16 * GIB),
    fixed("m6i.2xlarge", 8, 32 * GIB),
    fixed("m6i.4xlarge", 16, 64 * GIB),
    fixed("m6i.8xlarge", 32, 128 * GIB),
    fixed("m6i.12xlarge", 48, 192 * GIB),
    fixed("m6i.16xlarge", 64, 256 * GIB),
    fixed("m6i.24xlarge", 96, 384 * GIB),
    fixed("m6i.32xlarge", 128, 512 * GIB),
    fixed("r5.large", 2, 16 * GIB),
    fixed("r5.xlarge", 4, 32 * GIB),
    fixed("r5.2xlarge", 8, 64 * GIB),
    fixed("r5.4xlarge", 16, 128 * GIB),
    fixed("r5.8xlarge", 32, 256 * GIB),
    fixed("r5.12xlarge", 48, 384 * GIB),
    fixed("r5.16xlarge", 64, 512 * GIB),
    fixed("r5.24xlarge", 96, 768 * GIB),
    t2("t2.nano", 1, 512),
    t2("t2.micro", 1, GIB),
    t2("t2.small", 1, 2 * GIB),
    t2("t2.medium", 2, 4 * GIB),
    t2("t2.large", 2, 8 * GIB),
    t2("t2.xlarge", 4, 16 * GIB),
    t2("t2.2xlarge", 8, 32 * GIB),
    burstable("t3.nano", 2, 512),
    burstable("t3.micro", 2, GIB),
    burstable("t3.small", 2, 2 * GIB),
    burstable("t3.medium", 2, 4 * GIB),
    burstable("t3.large", 2, 8 * GIB),
    burstable("t3.xlarge", 4, 16 * GIB),
    burstable("t3.2xlarge", 8, 32 * GIB),
    burstable("t3a.nano", 2, 512),
    burstable("t3a.micro", 2, GIB),
    burstable("t3a.small", 2, 2 * GIB),
    burstable("t3a.medium", 2, 4 * GIB),
    burstable("t3a.large", 2, 8 * GIB),
    burstable("t3a.xlarge", 4, 16 * GIB),
    burstable("t3a.2xlarge", 8, 32 * GIB),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Interfaces, and addresses of each, as AWS publishes them.
    #[test]
    fn interfaces_of_known_types() {
        for (name, limits) in [
            ("t2.micro", (2, 2)),
            ("t2.2xlarge", (3, 15)),
            ("t3.small", (3, 4)),
            ("t3.large", (3, 12)),
            ("t3.2xlarge", (4, 15)),
            ("m5.large", (3, 10)),
            ("c5.9xlarge", (8, 30)),
            ("r5.24xlarge", (15, 50)),
        ] {
            assert_eq!(instance_type(name).map(InstanceType::interface_limits), Some(limits), "{name}");
        }
    }

    /// Well-known figures.
    #[test]
    fn figures_of_known_types() {
        for (name, vcpus, memory_mib, burstable) in [
            ("t2.micro", 1, 1024, true),
            ("t3.nano", 2, 512, true),
            ("t3.micro", 2, 1024, true),
            ("t3.2xlarge", 8, 32_768, true),
            ("m5.large", 2, 8192, false),
            ("c5.9xlarge", 36, 73_728, false),
            ("r5.xlarge", 4, 32_768, false),
        ] {
            let kind = instance_type(name).expect(name);
            assert_eq!((kind.vcpus, kind.memory_mib, kind.burstable), (vcpus, memory_mib, burstable), "{name}");
        }
        assert_eq!(instance_type("t4g.micro"), None);
    }

    /// No name twice, and all figures of a family follow its ratio of memory to vCPU.
    #[test]
    fn the_table_is_regular() {
        let mut names: Vec<&str> = all().iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
        for kind in all() {
            let gib_a_vcpu = match &kind.name[..1] {
                "c" => 2,
                "m" => 4,
                "r" => 8,
                _ => continue,
            };
            assert_eq!(kind.memory_mib, kind.vcpus * gib_a_vcpu * GIB, "{}", kind.name);
        }
    }
}
