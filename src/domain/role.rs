//! Who may do what through the admin API.

/// What somebody may do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// See what happens: payments, mismatches, holds, rules and figures; never who did what.
    See,
    /// Run it: release holds, settle statements, turn providers and channels, load the configuration again.
    Operate,
    /// Propose rules, try them, keep lists, let a rule sleep.
    EditRules,
    /// Approve what somebody else proposed, or turn it down; go back to what was approved before.
    ApproveRules,
    /// See who did what.
    Audit,
    /// Have a person be forgotten.
    Forget,
    /// Open, close and upgrade payment accounts, and pay from them.
    Account,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 7] = [
        Self::See,
        Self::Operate,
        Self::EditRules,
        Self::ApproveRules,
        Self::Audit,
        Self::Forget,
        Self::Account,
    ];

    /// The word in the API's description.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::See => "see",
            Self::Operate => "operate",
            Self::EditRules => "edit_rules",
            Self::ApproveRules => "approve_rules",
            Self::Audit => "audit",
            Self::Forget => "forget",
            Self::Account => "account",
        }
    }
}

/// What somebody is there for. Whoever has several may do what any of them may; nobody approves what is their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees.
    Viewer,
    /// Runs it.
    Operator,
    /// Writes rules.
    RiskEditor,
    /// Approves rules.
    RiskApprover,
    /// Sees, and sees who did what.
    Auditor,
    /// The payment core itself: its accounts.
    Core,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] = [
        Self::Viewer,
        Self::Operator,
        Self::RiskEditor,
        Self::RiskApprover,
        Self::Auditor,
        Self::Core,
        Self::Admin,
    ];

    /// The word used in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::RiskEditor => "risk_editor",
            Self::RiskApprover => "risk_approver",
            Self::Auditor => "auditor",
            Self::Core => "core",
            Self::Admin => "admin",
        }
    }

    /// Reads the configuration word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether it may.
    pub const fn may(self, right: Right) -> bool {
        match (self, right) {
            (Self::Admin, _)
            | (_, Right::See)
            | (Self::Operator, Right::Operate)
            | (Self::RiskEditor, Right::EditRules)
            | (Self::RiskApprover, Right::ApproveRules)
            | (Self::Auditor, Right::Audit)
            | (Self::Core, Right::Account) => true,
            (
                Self::Viewer
                | Self::Operator
                | Self::RiskEditor
                | Self::RiskApprover
                | Self::Auditor
                | Self::Core,
                Right::Operate
                | Right::EditRules
                | Right::ApproveRules
                | Right::Audit
                | Right::Forget
                | Right::Account,
            ) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_it_is_for_and_no_more() {
        let check = |role: Role, expected: &[Right]| {
            let may: Vec<_> = Right::ALL.into_iter().filter(|right| role.may(*right)).collect();
            assert_eq!(may, expected, "{role:?}");
            assert_eq!(Role::from_word(role.as_str()), Some(role));
        };
        check(Role::Viewer, &[Right::See]);
        check(Role::Operator, &[Right::See, Right::Operate]);
        check(Role::RiskEditor, &[Right::See, Right::EditRules]);
        check(Role::RiskApprover, &[Right::See, Right::ApproveRules]);
        check(Role::Auditor, &[Right::See, Right::Audit]);
        check(Role::Core, &[Right::See, Right::Account]);
        check(Role::Admin, &Right::ALL);
    }
}
