//! Ranges of addresses, such as `10.42.1.0/24`.

use std::{fmt, net::IpAddr, str::FromStr};

/// A range of IPv4 or IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    first: IpAddr,
    prefix: u8,
}

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of addresses such as 10.42.1.0/24")]
pub struct NotACidr(String);

impl Cidr {
    /// Whether an address lies in it. Addresses of the other family never do.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && masked(address, self.prefix) == self.first
    }

    /// Whether another range lies wholly in it.
    pub fn covers(&self, other: &Self) -> bool {
        other.prefix >= self.prefix && self.contains(other.first)
    }

    /// Whether the two have an address in common: of two ranges one always covers the other then.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// How many bits of an address it fixes: 24 in `10.42.1.0/24`.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether it is a range of IPv4 addresses.
    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

impl FromStr for Cidr {
    type Err = NotACidr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let not_one = || NotACidr(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(not_one)?;
        let address: IpAddr = address.parse().map_err(|_| not_one())?;
        let prefix: u8 = prefix.parse().map_err(|_| not_one())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            return Err(not_one());
        }
        Ok(Self {
            first: masked(address, prefix),
            prefix,
        })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_in_or_out() {
        let range = range("10.42.1.0/24");
        assert!(range.contains("10.42.1.255".parse().unwrap()));
        assert!(!range.contains("10.42.2.0".parse().unwrap()));
        assert!(!range.contains("fd00::1".parse().unwrap()));
    }

    #[test]
    fn ranges_overlap_when_one_covers_the_other() {
        assert!(range("10.42.0.0/16").overlaps(&range("10.42.7.0/24")));
        assert!(range("10.42.7.0/24").overlaps(&range("10.42.0.0/16")));
        assert!(!range("10.42.0.0/24").overlaps(&range("10.42.1.0/24")));
        assert!(!range("10.42.7.0/24").covers(&range("10.42.0.0/16")));
        assert!(range("0.0.0.0/0").covers(&range("10.42.0.0/24")));
        assert!(range("::/0").covers(&range("fd00::/64")));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["10.42.0.0", "10.42.0.0/33", "x/8", "10.42.0.0/-1", ""] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        assert_eq!(range("10.42.1.7/24").to_string(), "10.42.1.0/24");
    }
}
