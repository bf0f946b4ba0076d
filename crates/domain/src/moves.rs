//! Moves that a user asks for: into standby and out of it, into the group and
//! out of it alive. They are scaling activities with words of their own (the
//! examples of `enter-standby`, `exit-standby` and `detach-instances` in the
//! AWS CLI's reference; notifications of attached instances).

use crate::group::Why;
use crate::id::InstanceId;

/// What a user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// EnterStandby.
    IntoStandby,
    /// ExitStandby.
    OutOfStandby,
    /// AttachInstances.
    In,
    /// DetachInstances.
    Out,
}

impl Move {
    /// The activity's `Description`.
    pub fn description(self, instance: &InstanceId) -> String {
        let what = match self {
            Move::IntoStandby => "Moving EC2 instance to Standby",
            Move::OutOfStandby => "Moving EC2 instance out of Standby",
            Move::In => "Attaching an existing EC2 instance",
            Move::Out => "Detaching EC2 instance",
        };
        format!("{what}: {instance}")
    }

    /// The reason that the activity gives. `change` is the desired capacity
    /// before and after; a move in always changes it.
    pub fn why(self, change: Option<(u32, u32)>) -> Why {
        let growing = change.unwrap_or_default();
        match self {
            Move::IntoStandby => Why::ToStandby { shrinking: change },
            Move::OutOfStandby => Why::FromStandby { growing },
            Move::In => Why::UserAttached { growing },
            Move::Out => Why::UserDetached { shrinking: change },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;

    /// AWS's words for moves, with and without a change of the capacity.
    #[test]
    fn autoscaling_15_moves() {
        let (id, at) = (InstanceId::from("i-1"), Time(0));
        for (one, change, description, cause) in [
            (
                Move::IntoStandby,
                Some((4, 3)),
                "Moving EC2 instance to Standby: i-1",
                "moved to standby in response to a user request, shrinking the capacity from 4 to 3.",
            ),
            (
                Move::OutOfStandby,
                Some((3, 4)),
                "Moving EC2 instance out of Standby: i-1",
                "moved out of standby in response to a user request, increasing the capacity from 3 to 4.",
            ),
            (Move::Out, None, "Detaching EC2 instance: i-1", "detached in response to a user request."),
            (
                Move::In,
                Some((0, 1)),
                "Attaching an existing EC2 instance: i-1",
                "attached in response to a user request, increasing the capacity from 0 to 1.",
            ),
        ] {
            assert_eq!(one.description(&id), description);
            let expected = format!("At 1970-01-01T00:00:00Z instance i-1 was {cause}");
            assert_eq!(one.why(change).cause(at, Some(&id), None), expected);
        }
    }
}
