//! CPU credits of burstable instances: what they earn, spend, borrow and are
//! charged (EC2 User Guide, "Key concepts for burstable performance
//! instances"). One credit is one vCPU at full use for one minute. Credits
//! are counted, not enforced: nothing is slowed down for the want of them.

use crate::types::InstanceType;

/// Hours of earning that a balance holds at most.
const CAP_HOURS: f64 = 24.0;

/// What a T2 in standard mode is given at each start, for each vCPU.
const LAUNCH_CREDITS: f64 = 30.0;

/// Credits that a type earns an hour; `None` for one without credits.
pub fn earned_per_hour(kind: &InstanceType) -> Option<f64> {
    let (family, size) = kind.name.split_once('.').filter(|_| kind.burstable)?;
    let previous = family == "t2";
    let earned = match size {
        "nano" if previous => 3.0,
        "micro" if previous => 6.0,
        "small" if previous => 12.0,
        "xlarge" if previous => 54.0,
        "2xlarge" if previous => 81.6,
        "nano" => 6.0,
        "micro" => 12.0,
        "small" | "medium" => 24.0,
        "large" => 36.0,
        "xlarge" => 96.0,
        "2xlarge" => 192.0,
        _ => return None,
    };
    Some(earned)
}

/// The highest balance of a type, launch credits aside.
pub fn balance_max(kind: &InstanceType) -> Option<f64> {
    earned_per_hour(kind).map(|earned| earned * CAP_HOURS)
}

/// The use in percent at which a type spends what it earns, as CPUUtilization
/// shows it.
pub fn baseline_percent(kind: &InstanceType) -> Option<f64> {
    earned_per_hour(kind).map(|earned| earned / 60.0 / f64::from(kind.vcpus) * 100.0)
}

/// Whether a type is unlimited when nobody says: T2 is not, later ones are.
pub fn unlimited_by_default(kind: &InstanceType) -> bool {
    !kind.name.starts_with("t2.")
}

/// What an instance has, in credits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Account {
    /// Launch credits: spent first and not under the cap.
    pub launch: f64,
    /// Earned and not spent.
    pub earned: f64,
    /// Borrowed and not paid back: CPUSurplusCreditBalance.
    pub surplus: f64,
    /// Borrowed and charged since the last figures: CPUSurplusCreditsCharged.
    pub charged: f64,
    /// Spent since the last figures: CPUCreditUsage.
    pub used: f64,
}

impl Account {
    /// At the launch of an instance.
    pub fn at_launch(kind: &InstanceType, unlimited: bool) -> Account {
        let given = kind.name.starts_with("t2.") && !unlimited;
        Account { launch: if given { LAUNCH_CREDITS * f64::from(kind.vcpus) } else { 0.0 }, ..Account::default() }
    }

    /// CPUCreditBalance.
    pub fn balance(&self) -> f64 {
        self.launch + self.earned
    }

    /// Minutes at a use in percent of all vCPUs. Earnings pay back what was
    /// borrowed before they are kept; use beyond the balance is borrowed in
    /// unlimited mode, where what exceeds a day's earnings is charged at
    /// once. In standard mode there is no more to spend than there is.
    #[must_use]
    pub fn after(mut self, kind: &InstanceType, unlimited: bool, (minutes, percent): (f64, f64)) -> Account {
        let (Some(per_hour), Some(max)) = (earned_per_hour(kind), balance_max(kind)) else { return self };
        if !unlimited {
            // A switch to standard mode charges what is borrowed.
            self.charged += std::mem::take(&mut self.surplus);
        }
        let mut earning = per_hour / 60.0 * minutes;
        let mut spending = f64::from(kind.vcpus) * percent.clamp(0.0, 100.0) / 100.0 * minutes;
        // Earning and spending go on at the same time.
        let level = earning.min(spending);
        (earning, spending) = (earning - level, spending - level);
        self.used += level;
        let paid = earning.min(self.surplus);
        self.surplus -= paid;
        self.earned = (self.earned + earning - paid).min(max);
        let from_launch = spending.min(self.launch);
        self.launch -= from_launch;
        let from_earned = (spending - from_launch).min(self.earned);
        self.earned -= from_earned;
        self.used += from_launch + from_earned;
        if unlimited {
            let borrowed = spending - from_launch - from_earned;
            self.used += borrowed;
            self.surplus += borrowed;
            let excess = (self.surplus - max).max(0.0);
            self.surplus -= excess;
            self.charged += excess;
        }
        self
    }

    /// After a stop: what was borrowed is charged; T2 loses its balance,
    /// later families keep it for a week.
    #[must_use]
    pub fn stopped(mut self, kind: &InstanceType) -> Account {
        self.charged += std::mem::take(&mut self.surplus);
        if kind.name.starts_with("t2.") {
            (self.launch, self.earned) = (0.0, 0.0);
        }
        self
    }

    /// The figures of a period that ends, and the account of the next one.
    pub fn close(self) -> (Figures, Account) {
        let figures =
            Figures { usage: self.used, balance: self.balance(), surplus: self.surplus, charged: self.charged };
        (figures, Account { used: 0.0, charged: 0.0, ..self })
    }
}

/// What CloudWatch shows of five minutes, in credits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// CPUCreditUsage.
    pub usage: f64,
    /// CPUCreditBalance.
    pub balance: f64,
    /// CPUSurplusCreditBalance.
    pub surplus: f64,
    /// CPUSurplusCreditsCharged.
    pub charged: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{all, instance_type};

    fn kind(name: &str) -> &'static InstanceType {
        instance_type(name).expect("a type")
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    /// The table of the guide: credits an hour, cap and baseline; every burstable type has a row.
    #[test]
    fn pricing_3_credits_by_type() {
        for (name, earned, cap, baseline) in [
            ("t3.nano", 6.0, 144.0, 5.0),
            ("t3.micro", 12.0, 288.0, 10.0),
            ("t3.medium", 24.0, 576.0, 20.0),
            ("t3.large", 36.0, 864.0, 30.0),
            ("t3.2xlarge", 192.0, 4608.0, 40.0),
            ("t2.micro", 6.0, 144.0, 10.0),
            ("t2.medium", 24.0, 576.0, 20.0),
            ("t2.2xlarge", 81.6, 1958.4, 17.0),
        ] {
            let kind = kind(name);
            assert!(near(earned_per_hour(kind).expect("burstable"), earned), "{name}");
            assert!(near(balance_max(kind).expect("burstable"), cap), "{name}");
            assert!(near(baseline_percent(kind).expect("burstable"), baseline), "{name}");
        }
        assert!(all().iter().all(|kind| earned_per_hour(kind).is_some() == kind.burstable));
    }

    /// At the baseline nothing changes; below it the balance grows to the cap;
    /// above it the balance goes down, and then surplus grows or nothing more is spent.
    #[test]
    fn credits_come_and_go() {
        let micro = kind("t3.micro");
        let start = Account { earned: 10.0, ..Account::default() };
        let level = start.after(micro, true, (60.0, 10.0));
        assert!(near(level.earned, 10.0) && near(level.used, 12.0));
        let idle = start.after(micro, true, (60.0 * 48.0, 0.0));
        assert!(near(idle.earned, 288.0) && near(idle.used, 0.0));
        let busy = start.after(micro, true, (60.0, 100.0));
        assert!(near(busy.earned, 0.0) && near(busy.surplus, 98.0) && near(busy.used, 120.0));
        let paying = busy.after(micro, true, (60.0, 0.0));
        assert!(near(paying.surplus, 86.0) && near(paying.earned, 0.0));
        let standard = start.after(micro, false, (60.0, 100.0));
        assert!(near(standard.surplus, 0.0) && near(standard.used, 22.0));
        let switched = busy.after(micro, false, (1.0, 0.0));
        assert!(near(switched.surplus, 0.0) && near(switched.charged, 98.0));
    }

    /// The guide's example: a t3.large at full use for a day from nothing
    /// borrows 33.6 vCPU-hours and is charged for what exceeds a day's earnings.
    #[test]
    fn pricing_3_surplus_beyond_a_day_is_charged() {
        let large = kind("t3.large");
        let day = (0..24).fold(Account::default(), |account, _| account.after(large, true, (60.0, 100.0)));
        assert!(near(day.surplus, 864.0) && near(day.charged, 33.6 * 60.0 - 864.0), "{day:?}");
        let stopped = day.stopped(large);
        assert!(near(stopped.surplus, 0.0) && near(stopped.charged, 33.6 * 60.0));
    }

    /// A T2 in standard mode begins with launch credits and loses all at a stop.
    #[test]
    fn launch_credits() {
        let t2 = kind("t2.micro");
        let account = Account::at_launch(t2, false);
        assert!(near(account.balance(), 30.0));
        let spent = account.after(t2, false, (10.0, 100.0));
        assert!(near(spent.launch, 21.0), "{spent:?}");
        assert!(near(spent.stopped(t2).balance(), 0.0));
        assert!(near(Account::at_launch(t2, true).balance(), 0.0));
        assert!(near(Account::at_launch(kind("t3.micro"), false).balance(), 0.0));
        let (figures, next) = spent.close();
        assert!(near(figures.usage, 10.0) && near(next.used, 0.0) && near(next.balance(), figures.balance));
    }
}
